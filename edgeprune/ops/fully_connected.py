"""FullyConnected: rows of int8 features times constant weights; ONNX's Gemm.

Inputs x [..., K] int8, w [N, K] int8 (or int16 within [-255, 255]), b [N] int32; attribute clamp (low, high);
output [..., N].
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, AttributeValue, Node, Shape, Tensor
from edgeprune.ops._convolution import check_weighted, requantize_channels
from edgeprune.ops._operands import int8_operand
from edgeprune.ops._weights import narrowest, quantized_weights, weights_and_bias
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "FullyConnected"]


class FullyConnected(Operator):
    """y = clamp(requantise(b + (x - zero point) @ w.T))."""

    name = "FullyConnected"
    onnx_types = ("Gemm", "QGemm")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
        x = node.required(0)
        if node.attrs.get("transA", 0):
            x = build.transpose(x, (1, 0))
        if node.required(1).value is None:
            _lower_computed(node, build, x, alpha)
            return
        weights = quantized_weights(node, 1)
        w = weights if node.attrs.get("transB", 0) else build.transpose(weights, (1, 0))
        w = _scaled(node, build, w, alpha)
        w, b = weights_and_bias(node, 2, x, w, build, beta)
        build.add(self.name, node.name, [x, w, b], node.outputs, {"clamp": (-128, 127)})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        x, w, _ = node.inputs
        if len(w.shape) != 2 or x.shape[-1:] != w.shape[1:]:
            raise ValueError(f"weights of shape {list(w.shape)} do not fit an input of shape {list(x.shape)}")
        return ((*x.shape[:-1], w.shape[0]),)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        return None if axis == len(node.inputs[0].shape) - 1 else (axis, node.attrs)

    def check(self, node: Node) -> None:
        check_weighted(node)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        # float64 is exact here: every sum stays below 2**53.
        sums = (x.astype(np.float64) - node.inputs[0].zero_point) @ w.astype(np.float64).T
        return (requantize_channels(node, sums.astype(np.int64) + b.astype(np.int64)),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        return (x @ w.T + b,)

    def macs(self, node: Node) -> int:
        return node.output.elements * node.inputs[1].shape[1]


def _scaled(node: OnnxNode, build: Builder, w: Tensor, alpha: float) -> Tensor:
    """The weights of `alpha` * w, exactly: its magnitude goes into the scale, its sign into the integers."""
    assert w.quant is not None
    assert w.value is not None
    if alpha == 1.0:
        return w
    if alpha == 0.0:
        raise UsageError(f"Gemm node {node.name!r} has an alpha of 0, so that its weights mean nothing")
    value = w.value if alpha > 0 else narrowest(-w.value.astype(np.int16))
    scales = tuple(scale * abs(alpha) for scale in w.quant.scale)
    return build.constant(w.name, value, replace(w.quant, scale=scales))


def _lower_computed(node: OnnxNode, build: Builder, a: Tensor, alpha: float) -> None:
    """A Gemm of two activations is a MatMul, as long as nothing is added or scaled."""
    if alpha != 1.0 or node.input(2) is not None:
        raise UsageError(
            f"Gemm node {node.name!r} scales or shifts a product of two computed tensors; use MatMul and Add"
        )
    b = int8_operand(node, 1, build)
    attrs: dict[str, AttributeValue] = {"transpose_b": int(node.attrs.get("transB", 0)), "clamp": (-128, 127)}
    build.add("MatMul", node.name, [a, b], node.outputs, attrs)


OPERATOR = FullyConnected()
