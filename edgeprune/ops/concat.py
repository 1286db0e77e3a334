"""Concat of tensors along one axis; the importer brings all of them to one scale first."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._values import normalized_axis, real_value
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Concat"]


class Concat(DataMovement):
    """The inputs one after another along attrs axis."""

    name = "Concat"
    onnx_types = ("Concat", "QLinearConcat")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        y = node.outputs[0]
        inputs = [_stored_like(tensor, y, build) for tensor in node.inputs if tensor is not None]
        axis = normalized_axis(node, int(node.attrs.get("axis", 1)), len(y.shape))
        build.add(self.name, node.name, inputs, node.outputs, {"axis": axis})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        axis, shape = node.int("axis"), node.inputs[0].shape
        for tensor in node.inputs:
            if (*tensor.shape[:axis], *tensor.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
                raise ValueError(f"{tensor.name} of shape {tensor.shape} does not continue {shape}")
        return ((*shape[:axis], sum(t.shape[axis] for t in node.inputs), *shape[axis + 1 :]),)

    def move(self, node: Node, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=node.int("axis"))

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        constant = any(tensor.value is not None for tensor in node.inputs)
        return None if constant or axis == node.int("axis") else (axis, node.attrs)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return {"axis": perm.index(node.int("axis"))}


def _stored_like(tensor: Tensor, y: Tensor, build: Builder) -> Tensor:
    """`tensor`, or where it is a constant of another scale, the same numbers at the scale of `y`."""
    if tensor.value is None or y.quant is None or tensor.quant == y.quant:
        return tensor
    stored = clamp_int8(np.rint(real_value(tensor) / y.scale) + y.zero_point)
    return build.constant(tensor.name, stored, y.quant)


OPERATOR = Concat()
