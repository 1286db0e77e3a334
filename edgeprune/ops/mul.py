"""Mul of two int8 tensors, with NumPy broadcasting, and an optional clamp fused from an activation.

    y = clamp(zy + multiply_by_quantized_multiplier((a - za) * (b - zb), sa * sb / sy))

as TensorFlow Lite's reference kernel; the product stays within 255**2 < 2**16 in magnitude.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier, quantize_multiplier
from edgeprune.ops._operands import check_binary, int8_operand
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "Mul"]


class Mul(Operator):
    """y = clamp(a * b)."""

    name = "Mul"
    onnx_types = ("Mul", "QLinearMul")
    quantizes_constants = True
    is_elementwise = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        operands = [int8_operand(node, index, build) for index in (0, 1)]
        build.add(self.name, node.name, operands, node.outputs, {"clamp": (-128, 127)})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (tuple(np.broadcast_shapes(node.inputs[0].shape, node.inputs[1].shape)),)

    def multiplier(self, node: Node) -> tuple[int, int]:
        """The fixed-point form (multiplier, shift) of sa * sb / sy."""
        a, b = node.inputs
        return quantize_multiplier(a.scale * b.scale / node.output.scale)

    def check(self, node: Node) -> None:
        check_binary(node)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return node.attrs

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        a, b = (
            value.astype(np.int64) - tensor.zero_point
            for value, tensor in zip(inputs, node.inputs, strict=True)
        )
        scaled = multiply_by_quantized_multiplier(a * b, *self.multiplier(node))
        return (clamp_int8(scaled + node.output.zero_point, *node.ints("clamp")),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (inputs[0] * inputs[1],)


OPERATOR = Mul()
