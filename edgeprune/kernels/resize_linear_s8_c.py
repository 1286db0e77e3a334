"""Portable C for ResizeLinear: the four weighted neighbours of each pixel, channel by channel."""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "ResizeLinearPortable"]

_CODE_BYTES = 190
_CYCLES_PER_PIXEL, _CYCLES_PER_ELEMENT = 40, 21
_TABLES = (("rows", "row_weights"), ("columns", "column_weights"))


class ResizeLinearPortable(KernelFamily):
    """Bilinear interpolation of int8 images."""

    name = "resize_linear_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "ResizeLinear":
            return ()
        y = nodes[0].output
        cycles = _CYCLES_PER_ELEMENT * y.elements + _CYCLES_PER_PIXEL * (y.elements // y.shape[-1])
        flash = _CODE_BYTES + 4 * (y.shape[1] + y.shape[2])
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(None,)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        return tuple(
            Constant(
                key,
                "uint16_t",
                np.stack([node.ints(key), node.ints(fractions)], axis=1).astype(np.uint16),
                f"input {key[:-1]} of each output {key[:-1]}, and the weight of the next in 2^-11",
                align=2,
            )
            for key, fractions in _TABLES
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        x, y = candidate.nodes[0].inputs[0], candidate.nodes[0].output
        stem = f"{names.prefix}_resize_linear_" + "x".join(map(str, (*x.shape, *y.shape[1:3])))
        function = self.render(stem, {"x": x.shape, "y": y.shape})
        operands = [names.tensors[x.name], names.tensors[y.name]]
        operands += [names.constants[key] for key, _ in _TABLES]
        return Code((function,), f"{stem}({', '.join(operands)});")


FAMILY = ResizeLinearPortable()
