"""Transpose: permuted axes."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._movement import DataMovement
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Transpose"]


class Transpose(DataMovement):
    """Axis i of the output is axis perm[i] of the input."""

    name = "Transpose"
    onnx_types = ("Transpose",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x = node.required(0)
        perm = tuple(int(axis) for axis in node.attrs.get("perm", reversed(range(len(x.shape)))))
        build.add(self.name, node.name, [x], node.outputs, {"perm": perm})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (tuple(node.inputs[0].shape[axis] for axis in node.ints("perm")),)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        return node.ints("perm").index(axis), node.attrs

    def move(self, node: Node, *inputs: Array) -> Array:
        return np.transpose(inputs[0], node.ints("perm"))


OPERATOR = Transpose()
