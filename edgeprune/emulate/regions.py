"""Where in an image the library's `run`, its layers and its arena lie, read from the symbols."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware import Image

__all__ = ["Regions", "find_arenas", "find_regions"]

_RETURNED = "testbed_returned"
"""Label of templates/firmware: where `run` returns to when an inference is counted."""

_ARENA = "testbed_memory"
"""The arena's first part between its guard zones, in templates/firmware; the others follow with a number."""

_THUMB_BIT = 1
"""Set in the symbols of functions in Thumb code; their instructions lie at even addresses everywhere."""


@dataclass(frozen=True)
class Regions:
    """Addresses in an image.

    Attributes:
        start: entry of `run`.
        stop: where `run` returns to.
        run: the code of `run` itself and of stages, which call layers row by row, as ranges [low, high): the compiler
            may split it.
        layers: entry of each layer's function, in the order of `Sources.layers`.
        names: the C functions: `run` and then the layers.
    """

    start: int
    stop: int
    run: tuple[tuple[int, int], ...]
    layers: tuple[int, ...]
    names: tuple[str, ...]


def find_regions(image: Image) -> Regions:
    """The regions of `image.elf`, the firmware without the callback.

    Raises:
        EnvironmentFailure: a function has no symbol of its own, because the compiler merged or inlined it.
    """
    symbols = _symbols(image.elf)
    run = f"{image.sources.prefix}_run"
    functions = [layer.function for layer in image.sources.layers]
    stages = image.sources.stages
    for name in (run, _RETURNED, *functions, *stages):
        if name not in symbols:
            raise EnvironmentFailure(
                f"The function {name} is not among the symbols of {image.elf}: its instructions cannot be told "
                "apart."
            )
    return Regions(
        start=symbols[run][0][0],
        stop=symbols[_RETURNED][0][0],
        run=tuple((address, address + size) for name in (run, *stages) for address, size in symbols[name]),
        layers=tuple(symbols[function][0][0] for function in functions),
        names=(run, *functions),
    )


def find_arenas(image: Image) -> tuple[tuple[int, int], ...]:
    """The parts of the arena with their guard zones, as ranges of addresses [low, high), in order."""
    names = [_ARENA, *(f"{_ARENA}_{number + 1}" for number in range(len(image.sources.more_arenas)))]
    symbols = _symbols(image.elf, ("STT_OBJECT",))
    found = [symbols[name][0] for name in names]
    return tuple((address, address + size) for address, size in found)


def _symbols(
    elf: Path, kinds: tuple[str, ...] = ("STT_FUNC", "STT_NOTYPE")
) -> Mapping[str, list[tuple[int, int]]]:
    """Address and size of all code, or of what is of `kinds`, by name.

    Parts and clones of a function follow it under its own name.
    """
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), "images are linked with their symbols"
        for symbol in sorted(table.iter_symbols(), key=lambda symbol: len(symbol.name)):
            if symbol["st_info"]["type"] in kinds:
                name = symbol.name.partition(".")[0]  # the compiler names its clones kws_run.part.0
                found[name].append((symbol["st_value"] & ~_THUMB_BIT, symbol["st_size"]))
    return found
