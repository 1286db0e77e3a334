"""What a library adds to an image, read from two ELF files: with the library and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

from edgeprune.firmware.image import Sizes

__all__ = ["measure_sizes"]

_STUB = "testbed_stub"
_CONTEXT = "testbed_context"
_STACK_SECTION = ".stack"


@dataclass(frozen=True)
class _Symbol:
    name: str
    kind: str
    size_bytes: int
    writable: bool


@dataclass(frozen=True)
class _Contents:
    """Flash is every section stored in the image, initial values of .data included; static is .data and .bss."""

    flash_bytes: int
    static_bytes: int
    symbols: tuple[_Symbol, ...]

    def size_of(self, name: str) -> int:
        return next(symbol.size_bytes for symbol in self.symbols if symbol.name == name)


def measure_sizes(elf: Path, bare_elf: Path, weights_object: Path) -> Sizes:
    """The library's share of `elf`: the difference to `bare_elf`, the same firmware without it.

    So code that the library pulls in from libgcc, libm or libc counts, and the test firmware does not. Weights
    are the constant arrays that `weights_object` defines.
    """
    full, bare = _read(elf), _read(bare_elf)
    flash_bytes = full.flash_bytes - (bare.flash_bytes - bare.size_of(_STUB))
    arrays = {s.name for s in _read(weights_object).symbols if s.kind == "STT_OBJECT" and not s.writable}
    known = {(symbol.name, symbol.size_bytes) for symbol in bare.symbols}
    own = [symbol for symbol in full.symbols if (symbol.name, symbol.size_bytes) not in known]
    weights_bytes = sum(symbol.size_bytes for symbol in own if symbol.name in arrays)
    sizes: dict[str, int] = {}
    for symbol in own:
        if not symbol.writable:
            sizes[symbol.name] = sizes.get(symbol.name, 0) + symbol.size_bytes
    return Sizes(
        flash_bytes=flash_bytes,
        code_bytes=flash_bytes - weights_bytes,
        weights_bytes=weights_bytes,
        static_bytes=full.static_bytes - bare.static_bytes,
        context_bytes=full.size_of(_CONTEXT),
        symbols=dict(sorted(sizes.items())),
    )


def _read(path: Path) -> _Contents:
    with path.open("rb") as file:
        elf = ELFFile(file)
        sections = [s for s in elf.iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC]
        flash = sum(s["sh_size"] for s in sections if s["sh_type"] != "SHT_NOBITS")
        static = sum(s["sh_size"] for s in sections if _writable(s) and s.name != _STACK_SECTION)
        return _Contents(flash, static, tuple(_symbols(elf)))


def _writable(section: Section) -> bool:
    return bool(section["sh_flags"] & SH_FLAGS.SHF_WRITE)


def _symbols(elf: ELFFile) -> Iterator[_Symbol]:
    """Functions and objects of the image."""
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection), "images are linked with their symbols"
    for symbol in table.iter_symbols():
        kind, place = symbol["st_info"]["type"], symbol["st_shndx"]
        if kind in ("STT_FUNC", "STT_OBJECT") and isinstance(place, int):
            writable = _writable(elf.get_section(place))
            name = symbol.name.partition(".")[0]  # the compiler names its clones kws_run.part.0
            yield _Symbol(name, kind, symbol["st_size"], writable)
