"""Portable C for Pad of any element type.

Constant mode writes the output in order: fills, and runs of the input moved to their place. The run that begins
at input element i lands at output element o(i), and o(i) - i never falls. An input that starts D = o(i) - i of
the last run above the output (or higher) is therefore never overwritten before it is read: D is the overlap.
Other modes read elements more than once and overlap nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.kernels._strided import ELEMENT_TYPES, dense_strides, move_statement
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames

__all__ = ["FAMILY", "Border", "Level", "PadPortable"]

_CODE_BYTES, _LEVEL_BYTES = 48, 32
_CYCLES_PER_RUN, _CYCLES_PER_WORD, _CYCLES_PER_BORDER_BLOCK = 30, 3, 24


@dataclass(frozen=True)
class Level:
    """`count` repetitions of the next level (of one element at the innermost), after and before fills.

    `before` and `after` are in elements of the output.
    """

    count: int
    before: int
    after: int


@dataclass(frozen=True)
class Border:
    """An axis of a Pad that repeats its input's elements; `stride` is in elements of the input."""

    extent: int
    before: int
    after: int
    stride: int


class PadPortable(KernelFamily):
    """Pad by a constant, a reflection or the edge."""

    name = "pad_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Pad":
            return ()
        node = nodes[0]
        size = DTYPES[node.output.dtype].itemsize
        if node.attrs["mode"] == "constant":
            levels = _levels(node)
            runs = node.inputs[0].elements // levels[-1].count
            cycles = _CYCLES_PER_RUN * runs + _CYCLES_PER_WORD * node.output.elements * size // 4
            gap = node.output.elements - node.inputs[0].elements - sum(level.after for level in levels)
            flash, overlap = _CODE_BYTES + _LEVEL_BYTES * len(levels), gap * size
            return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(overlap,)),)
        borders, block = _borders(node)
        words = -(-block * size // 4)
        cycles = node.output.elements // block * (_CYCLES_PER_BORDER_BLOCK + _CYCLES_PER_WORD * words)
        flash = _CODE_BYTES + _LEVEL_BYTES * len(borders)
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(None,)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        if not any(node.ints("pads")):
            return Code((), move_statement(x, y, node.output))
        mode, ctype = str(node.attrs["mode"]), ELEMENT_TYPES[node.output.dtype]
        stem = f"{names.prefix}_pad_{mode}_" + "x".join(map(str, node.output.shape))
        if mode == "constant":
            function = self.render(stem, {"mode": mode, "ctype": ctype, "levels": _levels(node)})
            return Code((function,), f"{stem}({x}, {y}, {node.int('value')});")
        borders, block = _borders(node)
        values = {"mode": mode, "ctype": ctype, "borders": borders, "block": block}
        return Code((self.render(stem, values),), f"{stem}({x}, {y});")


def _axes(node: Node) -> list[tuple[int, int, int, int]]:
    """Extent, pads before and after, and input stride of each axis, from outer to inner."""
    shape, pads = node.inputs[0].shape, node.ints("pads")
    rank = len(shape)
    return list(zip(shape, pads[:rank], pads[rank:], dense_strides(shape), strict=True))


def _levels(node: Node) -> tuple[Level, ...]:
    """The loops of constant mode; an axis without pads is absorbed by the next outer axis that has some."""
    levels: list[Level] = []
    count, unit = 1, 1
    for extent, before, after, _ in reversed(_axes(node)):
        if before or after:
            levels.insert(0, Level(extent * count, before * count * unit, after * count * unit))
            unit *= (before + extent + after) * count
            count = 1
        else:
            count *= extent
    if count > 1 or not levels:
        levels.insert(0, Level(count, 0, 0))
    return tuple(levels)


def _borders(node: Node) -> tuple[tuple[Border, ...], int]:
    """The loops of the other modes, and the elements of the block that the axes inside them make up."""
    borders: list[Border] = []
    block = 1
    for extent, before, after, stride in reversed(_axes(node)):
        if not (before or after or borders):
            block *= extent
        elif before or after or extent > 1:
            borders.insert(0, Border(extent, before, after, stride))
    return tuple(borders), block


FAMILY = PadPortable()
