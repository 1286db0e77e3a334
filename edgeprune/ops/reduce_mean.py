"""ReduceMean: the mean over some axes; ONNX's ReduceMean and global average pooling.

Input x int8; attributes axes (ascending, not negative), keepdims (0 or 1), clamp (low, high). Rounding is
defined in `_pooling`.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, AttributeValue, Node, Shape
from edgeprune.ops._operands import int8_operand
from edgeprune.ops._pooling import check_mean, requantized_mean
from edgeprune.ops._values import constant_ints, normalized_axis
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "ReduceMean"]


class ReduceMean(Operator):
    """y = clamp(mean of x over axes)."""

    name = "ReduceMean"
    onnx_types = ("ReduceMean", "GlobalAveragePool", "QLinearGlobalAveragePool")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = int8_operand(node, 0, build), node.outputs[0]
        rank = len(x.shape)
        if node.op_type == "ReduceMean":
            axes, keep = _axes(node, rank), int(node.attrs.get("keepdims", 1))
        else:
            axes, keep = tuple(range(2, rank)), 1
        attrs: dict[str, AttributeValue] = {"axes": axes, "keepdims": keep, "clamp": (-128, 127)}
        if rank < 3 or axes != tuple(range(2, rank)):
            build.add(self.name, node.name, [x], [y], attrs)
            return
        # All spatial axes of a channel-first image: channel-last, as its neighbours are.
        moved = build.transpose(x, (0, *axes, 1))
        attrs["axes"] = tuple(range(1, rank - 1))
        if not keep:
            build.add(self.name, node.name, [moved], [y], attrs)
            return
        result = build.tensor(y.name, (x.shape[0], *(1 for _ in axes), x.shape[1]), y.dtype, y.quant)
        build.add(self.name, node.name, [moved], [result], attrs)
        build.transpose(result, (0, rank - 1, *range(1, rank - 1)), output=y)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        axes, shape = node.ints("axes"), node.inputs[0].shape
        if node.int("keepdims"):
            return (tuple(1 if axis in axes else size for axis, size in enumerate(shape)),)
        return (tuple(size for axis, size in enumerate(shape) if axis not in axes),)

    def count(self, node: Node) -> int:
        """Elements each mean is over."""
        return math.prod(node.inputs[0].shape[axis] for axis in node.ints("axes"))

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        axes = node.ints("axes")
        if axis in axes:
            return None
        gone = 0 if node.int("keepdims") else sum(one < axis for one in axes)
        return axis - gone, node.attrs

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        if not node.int("keepdims"):
            return None
        return {**node.attrs, "axes": tuple(sorted(perm.index(axis) for axis in node.ints("axes")))}

    def check(self, node: Node) -> None:
        check_mean(node, self.count(node))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        centred = inputs[0].astype(np.int64) - node.inputs[0].zero_point
        sums = centred.sum(axis=node.ints("axes"), keepdims=bool(node.int("keepdims")))
        return (requantized_mean(node, sums, np.array(self.count(node))),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (inputs[0].mean(axis=node.ints("axes"), keepdims=bool(node.int("keepdims"))),)


def _axes(node: OnnxNode, rank: int) -> tuple[int, ...]:
    given = constant_ints(node, 1, "axes")
    if not given:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    axes = sorted(normalized_axis(node, axis, rank) for axis in given)
    if len(set(axes)) != len(axes):
        raise UsageError(f"ReduceMean node {node.name!r} names an axis twice")
    return tuple(axes)


OPERATOR = ReduceMean()
