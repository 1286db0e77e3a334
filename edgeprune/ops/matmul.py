"""MatMul of two int8 tensors with NumPy's broadcasting of leading axes; weights become FullyConnected.

Inputs a [..., M, K], b [..., K, N] ([..., N, K] with transpose_b); attributes transpose_b (0 or 1), clamp.

    y = clamp(zy + multiply_by_quantized_multiplier(sum over k of (a - za) * (b - zb), sa * sb / sy))
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, AttributeValue, Node, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier, quantize_multiplier
from edgeprune.ops._operands import check_binary, int8_operand
from edgeprune.ops._weights import quantized_weights, weights_and_bias
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "MatMul"]


class MatMul(Operator):
    """y = clamp(a @ b)."""

    name = "MatMul"
    onnx_types = ("MatMul", "QLinearMatMul")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        y, right = node.outputs[0], node.required(1)
        if right.value is not None and len(right.shape) == 2 and len(node.required(0).shape) >= 2:
            x = int8_operand(node, 0, build)
            w = build.transpose(quantized_weights(node, 1), (1, 0))
            w, b = weights_and_bias(node, 2, x, w, build)
            build.add("FullyConnected", node.name, [x, w, b], [y], {"clamp": (-128, 127)})
            return
        a, b = int8_operand(node, 0, build), int8_operand(node, 1, build)
        attrs: dict[str, AttributeValue] = {"transpose_b": 0, "clamp": (-128, 127)}
        if len(a.shape) > 1 and len(b.shape) > 1:
            build.add(self.name, node.name, [a, b], [y], attrs)
            return
        # A vector is a matrix of one row or column, whose axis the result drops.
        a = build.reshape(a, (1, *a.shape)) if len(a.shape) == 1 else a
        b = build.reshape(b, (*b.shape, 1)) if len(b.shape) == 1 else b
        full = build.tensor(y.name, _product_shape(a, b, False), y.dtype, y.quant)
        build.add(self.name, node.name, [a, b], [full], attrs)
        build.reshape(full, y.shape, output=y)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (_product_shape(node.inputs[0], node.inputs[1], bool(node.int("transpose_b"))),)

    def multiplier(self, node: Node) -> tuple[int, int]:
        """The fixed-point form (multiplier, shift) of sa * sb / sy."""
        a, b = node.inputs
        return quantize_multiplier(a.scale * b.scale / node.output.scale)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        a, b = node.inputs
        rows = a.value is None and b.value is not None and len(node.output.shape) == len(a.shape)
        return (axis, node.attrs) if rows and axis != len(a.shape) - 1 else None

    def check(self, node: Node) -> None:
        check_binary(node)
        a, b = node.inputs
        # Kernels may sum (a - za) * b, of b up to 128, and the correction for zb apart.
        largest_a = max(127 - a.zero_point, 128 + a.zero_point)
        if a.shape[-1] * largest_a * (128 + abs(b.zero_point)) >= 1 << 31:
            raise ValueError(f"sums over {a.shape[-1]} products could leave int32")

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        # float64 is exact here: every sum stays below 2**53.
        a, b = (
            value.astype(np.float64) - tensor.zero_point
            for value, tensor in zip(inputs, node.inputs, strict=True)
        )
        sums = _multiply(node, a, b).astype(np.int64)
        scaled = multiply_by_quantized_multiplier(sums, *self.multiplier(node))
        return (clamp_int8(scaled + node.output.zero_point, *node.ints("clamp")),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (_multiply(node, inputs[0], inputs[1]),)

    def macs(self, node: Node) -> int:
        return node.output.elements * node.inputs[0].shape[-1]


def _multiply(node: Node, a: Array, b: Array) -> Array:
    product: Array = np.matmul(a, np.swapaxes(b, -1, -2) if node.int("transpose_b") else b)
    return product


def _product_shape(a: Tensor, b: Tensor, transpose_b: bool) -> Shape:
    depth, columns = (b.shape[-1], b.shape[-2]) if transpose_b else (b.shape[-2], b.shape[-1])
    if a.shape[-1] != depth:
        raise ValueError(f"shapes {list(a.shape)} and {list(b.shape)} do not multiply")
    return (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], columns)


OPERATOR = MatMul()
