"""ResizeLinear: bilinear interpolation of an image; ONNX's Resize with mode linear lowers to it.

Input x [N, H, W, C] int8; output at the same scale and zero point. Attributes rows, row_weights, columns and
column_weights have one entry per output row (column): the input row at or above its position, and the weight
v (u) of the row below in 2**-11; it is 0 where there is no row below. Definition on stored integers:

    y = (2**21 + (2**11 - v) * ((2**11 - u) * x00 + u * x01) + v * ((2**11 - u) * x10 + u * x11)) >> 22

The four weights sum to 2**22, so the zero point needs no account, |sum| <= 2**29 + 2**21 fits int32 and y needs
no clamp. A weight is within 2**-12 of the real one, so y is within 255 * 2**-11 + 1/2 of the real number.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Shape
from edgeprune.ops._positions import WEIGHT_BITS
from edgeprune.ops.base import Operator

__all__ = ["OPERATOR", "ResizeLinear"]


class ResizeLinear(Operator):
    """Bilinear interpolation."""

    name = "ResizeLinear"
    keeps_quant = True

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        n, height, width, channels = node.inputs[0].shape
        for key, weights, extent in (("rows", "row_weights", height), ("columns", "column_weights", width)):
            pairs = zip(node.ints(key), node.ints(weights), strict=True)
            if not all(index >= 0 and index + (weight > 0) < extent for index, weight in pairs):
                raise ValueError(f"{key} are outside the input of shape {node.inputs[0].shape}")
        return ((n, len(node.ints("rows")), len(node.ints("columns")), channels),)

    def check(self, node: Node) -> None:
        x, y = node.inputs[0], node.output
        if (x.dtype, y.dtype) != ("int8", "int8") or x.quant != y.quant:
            raise ValueError("input and output must be int8 at one scale and zero point")

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        total = self._interpolate(node, inputs[0].astype(np.int64))
        return (((total + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)).astype(np.int8),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (self._interpolate(node, inputs[0]) / 4.0**WEIGHT_BITS,)

    def _interpolate(self, node: Node, x: Array) -> Array:
        """The sum over the four neighbours, in 2**-22."""
        for axis, (key, weights) in enumerate((("rows", "row_weights"), ("columns", "column_weights")), 1):
            index = np.array(node.ints(key))
            weight = np.array(node.ints(weights)).reshape([-1 if i == axis else 1 for i in range(4)])
            below = x.take(np.minimum(index + 1, x.shape[axis] - 1), axis=axis)
            x = ((1 << WEIGHT_BITS) - weight) * x.take(index, axis=axis) + weight * below
        return x


OPERATOR = ResizeLinear()
