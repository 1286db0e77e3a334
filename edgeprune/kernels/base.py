"""What a kernel family is: the class each file in this folder instantiates once, as `FAMILY`.

A family offers candidates for a node (or for several it can fuse), says which weights it admits, packs them,
and emits C through the template of its own name. A new kernel is one new file here and one new template.

File and template are named `<op>_<dtype>_<isa>[_<variant>]`: `conv_s8_c` is portable C for int8,
`conv_s8_dsp` needs the Armv7E-M / Armv8-M DSP extension.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.templating import render

__all__ = [
    "Candidate",
    "Code",
    "Constant",
    "Function",
    "KernelFamily",
    "LayerNames",
    "MachineCode",
    "Placement",
    "RowForm",
    "RowWindow",
    "Weights",
    "families",
    "weights_of",
]

Weights = Mapping[str, Array]
"""Values of the constant inputs of a candidate's nodes, by tensor name."""


def weights_of(nodes: Iterable[Node]) -> Weights:
    """Values of the constant inputs of `nodes`."""
    return {t.name: t.value for node in nodes for t in node.inputs if t.value is not None}


class Placement(Enum):
    """Where a step reads its constants from."""

    FLASH = "flash"
    STAGED = "staged"
    """From its own scratch, into which they are copied when the step starts."""
    PERSISTENT = "persistent"
    """From the part of the arena that survives between runs, into which init copies them."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to run `nodes` as one step; frozen, and made before weights are known, or from where they are zero.

    `overlap` holds, for each distinct activation input of the nodes (in the order of `activation_inputs`), the
    least byte distance address(input) - address(output 0) at which the kernel may still read that input while
    it writes the output: 0 means in place is safe, n > 0 that the input must start n bytes above the output,
    None that the two must not overlap. The plan uses it only for an input that dies at this step. Likewise
    `scratch_overlap` for address(input) - address(scratch).
    """

    family: str
    name: str
    nodes: tuple[Node, ...]
    flash_bytes: int
    cycles: int
    scratch_bytes: int = 0
    persistent_bytes: int = 0
    overlap: tuple[int | None, ...] = ()
    scratch_overlap: tuple[int | None, ...] = ()
    expands_weights: bool = False
    """Packs weights into several times their bytes to save cycles: offered only under a flash budget."""
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    placement: Placement = Placement.FLASH
    """Families offer their candidates with constants in flash; `plan.placement` derives the others from those."""
    copied_bytes: int = 0
    """Of the constants' copy in RAM: the end of the scratch where it is staged, the persistent bytes otherwise."""
    density: float = 1.0
    """Share of the weights that the kernel stores and multiplies; the others are zeros, and cost nothing."""

    @property
    def kernel_scratch_bytes(self) -> int:
        """Scratch of the kernel itself, which is the start of the step's."""
        staged = self.placement is Placement.STAGED
        return self.scratch_bytes - self.copied_bytes if staged else self.scratch_bytes

    @property
    def activation_inputs(self) -> tuple[str, ...]:
        """Names of the tensors the step reads from the arena, each once, in order."""
        produced = {tensor.name for node in self.nodes for tensor in node.outputs}
        names = (
            t.name for node in self.nodes for t in node.inputs if t.value is None and t.name not in produced
        )
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class RowWindow:
    """Which rows of an input a row of the output reads: `kernel` rows, `dilation` apart, `stride` further each time.

    The first of them is `pad` rows above row 0 for the first output. With `keeps_place`, element i of the output's row
    is written after element i of the input's row was read, and nothing of that row below it is read again.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0
    keeps_place: bool = False

    def first(self, row: int) -> int:
        """The first row that output `row` reads; negative where it is padding."""
        return row * self.stride - self.pad

    def last(self, row: int) -> int:
        """The last row that output `row` reads, perhaps below the image."""
        return self.first(row) + (self.kernel - 1) * self.dilation

    def span(self, rows: int) -> int:
        """Rows from the first to the last that `rows` rows of outputs read."""
        return self.last(rows - 1) - self.first(0) + 1


@dataclass(frozen=True, eq=False)
class RowForm:
    """A way to run `nodes` one output row at a time, or a few, the rows of its inputs lying anywhere.

    `candidate` is what the family emits and packs by. Its cycles are those of all rows, its scratch is a row's; its
    nodes may be `nodes` cut down to one row. `windows` say what is read of each activation input. Where a window has
    more than one row, the kernel gets an array of pointers, one to each row of the window, NULL for padding; otherwise
    the row itself.

    With `state_bytes` the rows are those of the one input, whose sum over all rows the kernel keeps there, and the
    output is written with the last of them.

    With `rows` above 1 a turn computes up to so many rows of outputs, which lie one after the other, from windows
    without dilation. The kernel gets for each input an array of pointers to all rows from the first that the turn
    takes on, as many as `rows` rows of outputs would, NULL for padding and for those that its own rows do not take.
    Rows are computed `together` at a time, which `rows` is a multiple of: fewer take as long.
    """

    candidate: Candidate
    nodes: tuple[Node, ...]
    windows: Mapping[str, RowWindow]
    state_bytes: int = 0
    rows: int = 1
    together: int = 1

    @property
    def is_own(self) -> bool:
        """Whether the family emits it by `emit_row`, and not as the network of one row that it is."""
        return self.candidate.nodes == self.nodes


@dataclass(frozen=True, eq=False)
class Constant:
    """A const array of the library: `name` is the role ("weights", "bias", "table"), `ctype` its element type.

    `align` above 8 is for the sake of lines of flash: a copy in RAM is aligned to 8.
    """

    name: str
    ctype: str
    values: Array
    comment: str = ""
    align: int = 4


@dataclass(frozen=True)
class Function:
    """A C function definition, `static` and readable, whose own name occurs in `text` as the word `name`.

    The code generator defines equal texts once and numbers functions of the same name but different text, in
    `text` and in the body that calls it. So bake shapes into the text (compilers love constants) and pass
    quantisation as arguments: then layers of one shape share code.
    """

    name: str
    text: str


@dataclass(frozen=True)
class MachineCode:
    """An object file for the library's core that defines the one function `symbol`, and nothing else that links."""

    symbol: str
    data: bytes


@dataclass(frozen=True)
class Code:
    """What a layer needs in the library: functions to define once, and the statements of its wrapper.

    Of the functions in `machine_code`, `functions` hold the declarations. Their names differ where their code does.
    """

    functions: tuple[Function, ...]
    body: str
    machine_code: tuple[MachineCode, ...] = ()


@dataclass(frozen=True)
class LayerNames:
    """C expressions a kernel's `emit` may use for its operands.

    `tensors` maps activation names to pointer expressions of their own element type (const int8_t * for
    inputs, int8_t * for outputs, int32_t * for ids); `constants` maps each packed Constant's role to its
    array; `scratch` is a uint8_t pointer aligned to 8 bytes, or "NULL"; `prefix` starts every symbol.

    A row form finds pointers to rows in `tensors` (see `RowForm`), the number of the first row in `row`, that of rows
    in `rows` and, where it keeps a state, a uint8_t pointer to that in `state`.
    """

    prefix: str
    tensors: Mapping[str, str]
    constants: Mapping[str, str]
    scratch: str
    row: str = "0"
    state: str = "NULL"
    rows: str = "1"
    machine: Device | None = None
    """What to compile machine code for, where a family can; None: all is to be C."""


class KernelFamily:
    """Everything known about one kernel family."""

    name: ClassVar[str]
    source: ClassVar[str] = "c"
    """Who schedules its loops: "c", the family's own template, or "tvm"."""

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        """Ways to run `nodes` (usually one node) on `device`; empty when the family does not fit.

        Constant values may be absent. A family whose cost depends on them, as a sparse one's on where zeros are,
        offers nothing then; other families do not look at them.
        """
        raise NotImplementedError

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        """Ways to run `nodes` row by row, where a row of the output takes more than the same rows of the inputs.

        What takes no more runs as the network of one row that it is (`plan.rows`), whatever its family.
        """
        return ()

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        """Whether these weights are within the range in which the kernel is exact."""
        return True

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        """The constants the kernel reads, in the order and encoding it wants."""
        return ()

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        """The C of this layer."""
        raise NotImplementedError

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        """The C of one row, for the candidate of a row form of this family's own."""
        raise NotImplementedError

    def render(self, name: str, values: Mapping[str, object]) -> Function:
        """The function `name` from this family's template; the template sees `name` and `values`."""
        return Function(name, render(f"kernels/{self.name}.c.j2", {"name": name, **values}))


@functools.cache
def families() -> Mapping[str, KernelFamily]:
    """Every kernel family by name."""
    found: dict[str, KernelFamily] = {}
    package = importlib.import_module("edgeprune.kernels")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_") or info.name == "base":
            continue
        family: KernelFamily = importlib.import_module(f"edgeprune.kernels.{info.name}").FAMILY
        assert family.name == info.name, info.name
        found[family.name] = family
    return found
