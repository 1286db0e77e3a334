"""Div of two int8 tensors, with NumPy broadcasting, and an optional clamp fused from an activation.

A constant divisor never gets that far: the node is lowered to a Mul by its reciprocal, one number exactly.

Definition on stored integers, with n = a - za, d = b - zb and the ratio sa / (sb * sy), at most 2**22:

    r = floor((2**23 + floor(|d| / 2)) / |d|), with d's sign
    y = clamp(zy + multiply_by_quantized_multiplier(n * r, ratio / 2**23))  where d != 0
    y = high for n > 0, low for n < 0, clamp(zy) for n = 0                  where d = 0

Ranges. |n| <= 255 and |r| <= 2**23, so the product is below 2**31. The multiplier is at most 1/2, so no shift is
to the left and the quotient stays below 2**30.

Accuracy. r is 2**23 / d rounded, and at least 2**15 in magnitude: a relative error below 2**-16. Where y does not
saturate, the quotient is therefore within 255 * 2**-16 of its real value, and its two roundings within 1 of the
rounded float. A ratio above 2**22 is taken as 2**22: any quotient but 0 is 1/255 at least, and saturates either way.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier, quantize_multiplier
from edgeprune.ops._operands import check_binary, int8_operand, symmetric_int8
from edgeprune.ops._values import real_value
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "RECIPROCAL_BITS", "Div"]

RECIPROCAL_BITS = 23
_LARGEST_RATIO = float(1 << 22)


class Div(Operator):
    """y = clamp(a / b)."""

    name = "Div"
    onnx_types = ("Div",)
    broadcasts = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        divisor = node.required(1)
        a = _stored(node, 0, build)
        attrs = {"clamp": (-128, 127)}
        if divisor.value is None:
            build.add(self.name, node.name, [a, int8_operand(node, 1, build)], node.outputs, attrs)
            return
        real = real_value(divisor)
        if not real.all():
            raise UsageError(f"Div node {node.name!r} divides by a constant 0")
        stored, quant = symmetric_int8(1.0 / real)
        reciprocal = build.constant(f"{divisor.name}.reciprocal", stored, quant)
        build.add("Mul", node.name, [a, reciprocal], node.outputs, attrs)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (tuple(np.broadcast_shapes(node.inputs[0].shape, node.inputs[1].shape)),)

    def multiplier(self, node: Node) -> tuple[int, int]:
        """The fixed-point form (multiplier, shift) of the ratio over 2**23; the shift is not positive."""
        a, b = node.inputs
        ratio = min(a.scale / (b.scale * node.output.scale), _LARGEST_RATIO)
        return quantize_multiplier(ratio / (1 << RECIPROCAL_BITS))

    def check(self, node: Node) -> None:
        check_binary(node)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return node.attrs

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        n, d = (
            value.astype(np.int64) - tensor.zero_point
            for value, tensor in zip(inputs, node.inputs, strict=True)
        )
        low, high = node.ints("clamp")
        size = np.maximum(np.abs(d), 1)
        reciprocal = ((1 << RECIPROCAL_BITS) + size // 2) // size * np.sign(d)
        quotient = multiply_by_quantized_multiplier(n * reciprocal, *self.multiplier(node))
        beyond = np.where(d == 0, np.sign(n) * 512, quotient)
        return (clamp_int8(beyond + node.output.zero_point, low, high),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = inputs[0] / inputs[1]
        return (np.where(np.isnan(quotient), 0.0, quotient),)


def _stored(node: OnnxNode, index: int, build: Builder) -> Tensor:
    """Input `index` as int8; a float constant at its own symmetric scale."""
    tensor = node.required(index)
    if tensor.value is not None and tensor.quant is None:
        return build.constant(tensor.name, *symmetric_int8(real_value(tensor)))
    return int8_operand(node, index, build)


OPERATOR = Div()
