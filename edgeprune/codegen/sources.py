"""The generated C as a value: file names and texts, with what later stages must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeprune.graph.ir import Tensor

__all__ = ["Layer", "Port", "Sources"]


@dataclass(frozen=True)
class Layer:
    """A layer of the library: its qualified `name`, the C function that runs it or a row of it, and what it leaves.

    `machine_code` are the functions in the library's archive that it calls.
    """

    name: str
    function: str
    outputs: tuple[Tensor, ...]
    machine_code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """An input or output of the library: stored tensor, and the permutation from the model's axes (or None)."""

    tensor: Tensor
    layout: tuple[int, ...] | None


@dataclass(frozen=True)
class Sources:
    """C files of one library. `prefix` starts every symbol in lower case, every macro in upper case.

    Where kernels come as machine code, `archives` hold it: static libraries by file name, to be linked with the rest.
    """

    prefix: str
    files: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    arena_bytes: int
    arena_align: int
    stages: tuple[str, ...] = ()
    """The C functions that run several layers in turns, row by row."""
    more_arenas: tuple[tuple[str, int], ...] = ()
    """Of an arena split over memories the parts behind the first, which `arena_bytes` is: name in macros, and bytes."""
    arena_waits: tuple[int, ...] = ()
    """Cycles that an access to each part of the arena waits for the memory it lies in, by the device's profile."""
    fed_rows: int = 0
    """Rows of the input, which the caller pushes one by one; 0 where inputs are written into the arena."""
    archives: Mapping[str, bytes] = field(default_factory=dict)
    has_state: bool = False
    """Whether what a run computes depends on the runs since `reset`."""

    @property
    def contents(self) -> Mapping[str, bytes]:
        """Every file of the library as bytes."""
        return {name: text.encode() for name, text in self.files.items()} | dict(self.archives)

    @property
    def header(self) -> str:
        """Name of the public header."""
        return f"{self.prefix}.h"

    @property
    def c_files(self) -> tuple[str, ...]:
        """Names of the files to compile."""
        return tuple(name for name in self.files if name.endswith(".c"))
