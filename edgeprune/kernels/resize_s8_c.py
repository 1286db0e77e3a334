"""Portable C for Resize by nearest neighbour of channel-last images, of any element type.

A pixel's channels are one run; an output row that repeats the one above it is copied from there. Whole factors
need no tables of indices.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.kernels._strided import ELEMENT_TYPES
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "ResizePortable"]

_CODE_BYTES = 120
_CYCLES_PER_PIXEL, _CYCLES_PER_ROW, _CYCLES_PER_WORD = 26, 30, 3


class ResizePortable(KernelFamily):
    """Resize of int8 (or other) images."""

    name = "resize_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Resize":
            return ()
        node = nodes[0]
        batch, _, width, channels = node.output.shape
        rows = node.ints("rows")
        fresh = len(list(dict.fromkeys(rows)))
        words = -(-channels * DTYPES[node.output.dtype].itemsize // 4)
        row = _CYCLES_PER_WORD * words * width + _CYCLES_PER_ROW
        cycles = batch * (len(rows) * row + fresh * width * _CYCLES_PER_PIXEL)
        flash = _CODE_BYTES + sum(constant.values.nbytes for constant in _tables(node))
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(None,)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return _tables(candidate.nodes[0])

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        x, y = node.inputs[0], node.output
        factors = {key: _factor(node.ints(key), x.shape[axis]) for axis, key in ((1, "rows"), (2, "columns"))}
        stem = f"{names.prefix}_resize_" + "x".join(map(str, (*x.shape[1:3], *y.shape[1:])))
        ctype = ELEMENT_TYPES[y.dtype]
        function = self.render(stem, {"factors": factors, "x": x.shape, "y": y.shape, "ctype": ctype})
        tables = "".join(f", {names.constants[key]}" for key, factor in factors.items() if not factor)
        return Code((function,), f"{stem}({names.tensors[x.name]}, {names.tensors[y.name]}{tables});")


def _factor(indices: tuple[int, ...], extent: int) -> int:
    """f where index i is i / f rounded down; 0 where there is no such f."""
    factor = len(indices) // extent
    return factor if factor and indices == tuple(i // factor for i in range(factor * extent)) else 0


def _tables(node: Node) -> tuple[Constant, ...]:
    shape = node.inputs[0].shape
    return tuple(
        Constant(
            key,
            "uint16_t",
            np.array(node.ints(key), np.uint16),
            f"input {key[:-1]} of each output {key[:-1]}",
            2,
        )
        for axis, key in ((1, "rows"), (2, "columns"))
        if not _factor(node.ints(key), shape[axis])
    )


FAMILY = ResizePortable()
