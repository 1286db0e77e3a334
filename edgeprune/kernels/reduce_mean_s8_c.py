"""Portable C for int8 ReduceMean: loops over the axes that stay around loops over those that go."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import REQUANTIZE_INSTRUCTIONS
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops._pooling import mean_multipliers
from edgeprune.ops.reduce_mean import OPERATOR as REDUCE_MEAN

__all__ = ["FAMILY", "ReduceMeanPortable"]

_CODE_BYTES = 180
_Axes = list[tuple[int, int]]
"""(extent, stride) of loops from outer to inner."""


class ReduceMeanPortable(KernelFamily):
    """int8 ReduceMean."""

    name = "reduce_mean_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "ReduceMean":
            return ()
        node = nodes[0]
        instructions = {
            _cost.Kind.TIGHT: 5 * node.inputs[0].elements,
            _cost.Kind.SCALAR: (10 + REQUANTIZE_INSTRUCTIONS) * node.output.elements,
        }
        cycles = round(_cost.cycles(device, instructions) + _cost.code_waits(device, _CODE_BYTES))
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles, overlap=(_distance(node),)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        kept, reduced = _axes(node)
        stem = f"{names.prefix}_mean_" + "_of_".join(
            "x".join(str(extent) for extent, _ in axes) or "1" for axes in (kept, reduced)
        )
        function = self.render(stem, {"prefix": names.prefix, "kept": kept, "reduced": reduced})
        scale = (int(number[0]) for number in mean_multipliers(node, np.array([REDUCE_MEAN.count(node)])))
        zeros = (node.inputs[0].zero_point, node.output.zero_point)
        arguments = [names.tensors[node.inputs[0].name], names.tensors[node.output.name]]
        arguments += map(str, (*scale, *zeros, *node.ints("clamp")))
        return Code((function,), f"{stem}({', '.join(arguments)});")


def _axes(node: Node) -> tuple[_Axes, _Axes]:
    """Loops over the axes that stay and over those that go; neighbours of one kind are one loop."""
    shape, gone = node.inputs[0].shape, node.ints("axes")
    kept: _Axes = []
    reduced: _Axes = []
    for axis, extent in enumerate(shape):
        if extent == 1:
            continue
        axes = reduced if axis in gone else kept
        stride = math.prod(shape[axis + 1 :])
        if axes and axes[-1][1] == stride * extent:
            axes[-1] = (axes[-1][0] * extent, stride)
        else:
            axes.append((extent, stride))
    return kept, reduced


def _distance(node: Node) -> int:
    """Least address(input) - address(output): output k is stored when inputs from its own first are done.

    Output k + 1 and all later ones read inputs at or above the least of their starts; k + 1 bytes are stored.
    """
    starts = np.zeros(1, np.int64)
    for extent, stride in _axes(node)[0]:
        starts = np.add.outer(starts, np.arange(extent) * stride).ravel()
    unread = np.minimum.accumulate(starts[::-1])[::-1][1:]
    return max(0, int((np.arange(1, len(starts)) - unread).max(initial=0)))


FAMILY = ReduceMeanPortable()
