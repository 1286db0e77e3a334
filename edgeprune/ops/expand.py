"""Expand and Tile: axes of one element repeated."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._movement import DataMovement
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Expand"]


class Expand(DataMovement):
    """x broadcast to attrs shape, of the same rank. Tile is Expand between two Reshapes."""

    name = "Expand"
    onnx_types = ("Expand", "Tile")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        if node.op_type == "Expand":
            aligned = build.reshape(x, (1,) * (len(y.shape) - len(x.shape)) + x.shape)
            build.add(self.name, node.name, [aligned], [y], {"shape": y.shape})
            return
        pairs = [(wide // extent, extent) for wide, extent in zip(y.shape, x.shape, strict=True)]
        single = build.reshape(x, tuple(size for _, extent in pairs for size in (1, extent)))
        shape = tuple(size for pair in pairs for size in pair)
        repeated = build.tensor(y.name, shape, y.dtype, y.quant)
        build.add(self.name, node.name, [single], [repeated], {"shape": shape})
        build.reshape(repeated, y.shape, output=y)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        shape = node.ints("shape")
        if np.broadcast_shapes(node.inputs[0].shape, shape) != shape:
            raise ValueError(f"cannot expand {node.inputs[0].shape} to {shape}")
        return (shape,)

    def move(self, node: Node, *inputs: Array) -> Array:
        return np.broadcast_to(inputs[0], node.ints("shape"))

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return {"shape": tuple(node.ints("shape")[axis] for axis in perm)}


OPERATOR = Expand()
