"""ReduceMax: the largest value over some axes.

It has no IR form of its own: with the reduced axes in front, it is a MaxPool of one column over all rows.
"""

from __future__ import annotations

import math

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import AttributeValue
from edgeprune.ops._operands import int8_operand
from edgeprune.ops._values import constant_ints, normalized_axis
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "ReduceMax"]


class ReduceMax(Operator):
    """y = max of x over axes."""

    name = "ReduceMax"
    onnx_types = ("ReduceMax",)
    keeps_quant = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = int8_operand(node, 0, build), node.outputs[0]
        axes = _axes(node, len(x.shape))
        kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        rows = math.prod(x.shape[axis] for axis in axes)
        image = build.reshape(build.transpose(x, (*axes, *kept)), (1, rows, 1, x.elements // rows))
        largest = build.tensor(y.name, (1, 1, 1, x.elements // rows), y.dtype, y.quant)
        attrs: dict[str, AttributeValue] = {
            "kernel": (rows, 1),
            "strides": (1, 1),
            "pads": (0, 0, 0, 0),
            "dilations": (1, 1),
        }
        build.add("MaxPool", node.name, [image], [largest], attrs)
        build.reshape(largest, y.shape, output=y)


def _axes(node: OnnxNode, rank: int) -> tuple[int, ...]:
    """The axes to reduce, ascending; an attribute before opset 18, an input since; all where neither is given."""
    given = constant_ints(node, 1, "axes")
    if not given:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(normalized_axis(node, axis, rank) for axis in given))


OPERATOR = ReduceMax()
