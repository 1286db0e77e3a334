"""Reshape and every other operator that leaves the bytes of a tensor as they are."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._movement import DataMovement
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Reshape"]


class Reshape(DataMovement):
    """y = x under attrs shape. Dropout and Identity are Reshape to the same shape."""

    name = "Reshape"
    onnx_types = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
    is_view = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        training = node.input(2) if node.op_type == "Dropout" else None
        if training is not None and (training.value is None or bool(np.any(training.value))):
            raise UsageError(f"Dropout node {node.name!r} is in training mode; export for inference")
        if x.elements != y.elements:
            raise UsageError(f"{node.op_type} node {node.name!r} cannot turn shape {x.shape} into {y.shape}")
        build.add(self.name, node.name, [x], [y], {"shape": y.shape})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        shape = node.ints("shape")
        if math.prod(shape) != node.inputs[0].elements:
            raise ValueError(f"cannot turn shape {node.inputs[0].shape} into {shape}")
        return (shape,)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        before, after = node.inputs[0].shape, node.output.shape
        outside = math.prod(before[:axis])
        for place, extent in enumerate(after):
            if math.prod(after[:place]) == outside and extent == before[axis]:
                return place, {**node.attrs, "shape": (*after[:place], 1, *after[place + 1 :])}
        return None

    def move(self, node: Node, *inputs: Array) -> Array:
        batch = inputs[0].size // max(node.inputs[0].elements, 1)
        shape = node.ints("shape")
        return inputs[0].reshape(shape if batch == 1 else (batch * shape[0], *shape[1:]))


OPERATOR = Reshape()
