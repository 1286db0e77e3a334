"""What compiling a subgraph gives, as plain values: kernels in C, the order to call them in, their constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edgeprune.graph.ir import Array

__all__ = ["Argument", "Call", "Kernel", "Nest", "Role", "Routine"]


class Role(Enum):
    """Where a kernel's argument lies."""

    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    TEMPORARY = "temporary"
    """Bytes of the step's scratch, from one call to a later one."""


@dataclass(frozen=True)
class Argument:
    """A pointer handed to a kernel: the number of an input, output or constant, or an offset in the scratch."""

    role: Role
    index: int
    dtype: str


@dataclass(frozen=True, eq=False)
class Nest:
    """What a kernel was printed from, for LLVM to compile: plain loops as TVM has them, opaque to all but this package.

    `parameters` are those of the C function. `stored` are the types of constants that hold narrower integers than the
    loops compute with, by position.
    """

    loops: Any
    parameters: tuple[str, ...]
    stored: Mapping[int, str]


@dataclass(frozen=True)
class Kernel:
    """A C function over pointers, inputs and constants first, then outputs, then `scratch` where it needs any.

    `text` is its definition, in which `PREFIX` and `MACRO` stand for the library's prefix in lower and upper case.
    `instructions` and `code_bytes` are estimates. `helpers` are definitions that must come before it, by name.
    """

    name: str
    text: str
    helpers: tuple[tuple[str, str], ...]
    scratch_bytes: int
    instructions: float
    code_bytes: int
    nest: Nest | None = field(default=None, compare=False)
    """None for a call of the C library's, which is left to the C compiler."""


@dataclass(frozen=True)
class Call:
    """One kernel on its arguments; a kernel with scratch of its own finds it at `scratch` of the step's."""

    kernel: int
    arguments: tuple[Argument, ...]
    scratch: int


@dataclass(frozen=True, eq=False)
class Routine:
    """A subgraph as calls of kernels."""

    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    constants: tuple[Array, ...]
    scratch_bytes: int

    @property
    def instructions(self) -> float:
        """Of one run, estimated."""
        return sum(self.kernels[call.kernel].instructions for call in self.calls)

    @property
    def code_bytes(self) -> int:
        """Of its kernels and the calls, estimated."""
        calls = sum(8 + 6 * len(call.arguments) for call in self.calls)
        return calls + sum(kernel.code_bytes for kernel in self.kernels)
