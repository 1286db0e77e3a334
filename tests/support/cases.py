"""Random nodes of the linear operators, with weights and scales that spread outputs over the int8 range.

Every function takes a NumPy generator and returns a Node whose activation inputs are called "x" (or "a", "b")
and whose output is called "y"; `stored_inputs` draws values for them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Array, Node, Quant, Shape, Tensor
from edgeprune.ops import operator_for
from edgeprune.ops._convolution import weight_scales
from tests.support.host_kernel import random_stored

__all__ = [
    "CONVOLUTIONS",
    "POINTWISE",
    "activation",
    "average_pool_node",
    "binary_node",
    "conv_node",
    "conv_transpose_node",
    "finish",
    "fully_connected_node",
    "matmul_node",
    "max_pool_node",
    "real",
    "reduce_mean_node",
    "stored_inputs",
    "weights_and_bias",
    "with_clamp",
    "with_wide_weights",
]

_ACTIVATION_DEVIATION = 80.0
"""Standard deviation of `random_stored`, roughly."""

POINTWISE: dict[str, Any] = {"kernel": (1, 1), "pads": (0, 0, 0, 0)}
CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"out_channels": 1},
    {"in_channels": 3, "out_channels": 5},
    {"in_channels": 1, "kernel": (10, 4), "pads": (4, 1, 5, 1), "strides": (2, 2), "height": 13, "width": 10},
    {"strides": (2, 2), "pads": (0, 0, 1, 1), "in_channels": 8},
    {"dilations": (2, 2), "pads": (2, 2, 2, 2)},
    {"dilations": (1, 2), "pads": (1, 2, 1, 2), "in_channels": 3, "strides": (2, 1)},
    {"kernel": (2, 2), "pads": (0, 0, 0, 0), "in_channels": 5},
    {"pads": (4, 5, 4, 5)},
    {"height": 2, "width": 2, "kernel": (3, 5), "pads": (1, 2, 1, 2)},
    {"batch": 2, "in_channels": 6},
    {**POINTWISE, "strides": (2, 2), "batch": 2},
    {**POINTWISE, "in_channels": 20, "out_channels": 3, "per_tensor": True},
)
"""Arguments of `conv_node`: few and many channels, windows of every kind, strides, dilations and padding."""


def activation(rng: np.random.Generator, name: str, shape: Shape, zero_point: int | None = None) -> Tensor:
    """An int8 activation with a random scale and, unless given, zero point (often an extreme one)."""
    if zero_point is None:
        zero_point = int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))
    return Tensor(
        name, shape, "int8", Quant.per_tensor(float(np.float32(rng.uniform(0.005, 0.1))), zero_point)
    )


def clamp_of(rng: np.random.Generator) -> tuple[int, int]:
    """No clamp, or as often a ReLU-like or ReLU6-like one."""
    choices = [(-128, 127), (-128, 127), (int(rng.integers(-128, 1)), 127), (-100, int(rng.integers(0, 120)))]
    return choices[int(rng.integers(len(choices)))]


def weights_and_bias(
    rng: np.random.Generator,
    x: Tensor,
    shape: Shape,
    *,
    per_tensor: bool = False,
    extremes: bool = False,
) -> tuple[Tensor, Tensor]:
    """Constant int8 weights "w" of `shape` (output channels first) and their int32 bias "b".

    With `extremes`, some weights are -128; otherwise all are in [-127, 127]. A channel may be all zeros.
    """
    w = random_stored(rng, shape)
    if not extremes:
        w = np.maximum(w, np.int8(-127))
    if shape[0] > 2 and rng.random() < 0.3:
        w[int(rng.integers(shape[0]))] = 0
    scales = rng.uniform(0.001, 0.02, 1 if per_tensor else shape[0]).astype(np.float32)
    zeros = (0,) * len(scales)
    weights = constant("w", w, Quant(tuple(map(float, scales)), zeros, None if per_tensor else 0))
    spread = int(_ACTIVATION_DEVIATION * 73 * math.sqrt(math.prod(shape[1:])))
    b = rng.integers(-spread, spread, shape[0], endpoint=True, dtype=np.int32)
    bias_scales = tuple(float(s) for s in x.scale * weight_scales(weights))
    return weights, constant("b", b, Quant(bias_scales, (0,) * shape[0], 0))


def finish(
    rng: np.random.Generator,
    node: Node,
    deviation: float,
) -> Node:
    """`node` with an output of inferred shape, whose scale puts reals of `deviation` over the int8 range."""
    (shape,) = operator_for(node).infer_shapes(node)
    scale = float(np.float32(max(deviation, 1e-6) / rng.uniform(20, 80)))
    low, high = node.ints("clamp")
    y = Tensor("y", shape, "int8", Quant.per_tensor(scale, int(rng.integers(low, high, endpoint=True))))
    return Node(node.op, node.name, node.inputs, (y,), node.attrs)


def weighted_deviation(x: Tensor, w: Tensor) -> float:
    """The standard deviation of real outputs, roughly, of a node with weights `w`."""
    assert w.value is not None
    rows = np.sqrt((w.value.astype(np.float64).reshape(w.shape[0], -1) ** 2).sum(axis=1))
    return float((rows * weight_scales(w)).max() * x.scale * _ACTIVATION_DEVIATION)


def conv_node(
    rng: np.random.Generator,
    *,
    height: int = 8,
    width: int = 8,
    in_channels: int = 4,
    out_channels: int = 8,
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
    batch: int = 1,
    clamp: tuple[int, int] | None = None,
    zero_point: int | None = None,
    per_tensor: bool = False,
    extremes: bool = False,
) -> Node:
    """A Conv; depthwise with group == in_channels. See `weights_and_bias` for `per_tensor` and `extremes`."""
    x = activation(rng, "x", (batch, height, width, in_channels), zero_point)
    w, b = weights_and_bias(
        rng, x, (out_channels, *kernel, in_channels // group), per_tensor=per_tensor, extremes=extremes
    )
    attrs = {
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "group": group,
        "clamp": clamp or clamp_of(rng),
    }
    return finish(rng, Node("Conv", "conv", (x, w, b), (), attrs), weighted_deviation(x, w))


def conv_transpose_node(
    rng: np.random.Generator,
    *,
    height: int = 4,
    width: int = 5,
    in_channels: int = 4,
    out_channels: int = 6,
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (2, 2),
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilations: tuple[int, int] = (1, 1),
    output_padding: tuple[int, int] = (0, 0),
    group: int = 1,
    batch: int = 1,
    per_tensor: bool = False,
    extremes: bool = False,
) -> Node:
    """A ConvTranspose."""
    x = activation(rng, "x", (batch, height, width, in_channels))
    w, b = weights_and_bias(
        rng, x, (out_channels, *kernel, in_channels // group), per_tensor=per_tensor, extremes=extremes
    )
    attrs = {
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "output_padding": output_padding,
        "group": group,
        "clamp": clamp_of(rng),
    }
    node = Node("ConvTranspose", "conv_transpose", (x, w, b), (), attrs)
    return finish(rng, node, weighted_deviation(x, w))


def fully_connected_node(
    rng: np.random.Generator,
    *,
    rows: Shape = (1,),
    in_features: int = 16,
    out_features: int = 8,
    per_tensor: bool = False,
    extremes: bool = False,
    clamp: tuple[int, int] | None = None,
    zero_point: int | None = None,
) -> Node:
    """A FullyConnected of an input [*rows, in_features]."""
    x = activation(rng, "x", (*rows, in_features), zero_point)
    w, b = weights_and_bias(rng, x, (out_features, in_features), per_tensor=per_tensor, extremes=extremes)
    node = Node("FullyConnected", "fully_connected", (x, w, b), (), {"clamp": clamp or clamp_of(rng)})
    return finish(rng, node, weighted_deviation(x, w))


def with_clamp(node: Node, clamp: tuple[int, int]) -> Node:
    """`node` with its output clamped otherwise."""
    return replace(node, attrs={**node.attrs, "clamp": clamp})


def with_wide_weights(rng: np.random.Generator, node: Node) -> Node:
    """`node`, with inputs x, w, b, and int16 weights over [-255, 255], a tenth at each end; twice the scale out."""
    x, w, b = node.inputs
    values = rng.integers(-255, 255, w.shape, dtype=np.int16, endpoint=True)
    draw = rng.random(w.shape)
    values[draw < 0.1] = -255
    values[draw > 0.9] = 255
    y = node.output
    assert y.quant is not None
    wider = Tensor(y.name, y.shape, y.dtype, Quant.per_tensor(2 * y.scale, y.zero_point))
    return Node(node.op, node.name, (x, constant("w", values, w.quant), b), (wider,), node.attrs)


def matmul_node(
    rng: np.random.Generator,
    a_shape: Shape = (2, 5, 7),
    b_shape: Shape = (2, 7, 6),
    *,
    transpose_b: bool = False,
    constant_b: bool = False,
) -> Node:
    """A MatMul of "a" and "b"; `constant_b` gives b a value."""
    a, b = activation(rng, "a", a_shape), activation(rng, "b", b_shape)
    if constant_b:
        b = constant("b", random_stored(rng, b_shape), b.quant)
    attrs = {"transpose_b": int(transpose_b), "clamp": clamp_of(rng)}
    deviation = math.sqrt(a_shape[-1]) * _ACTIVATION_DEVIATION**2 * a.scale * b.scale
    return finish(rng, Node("MatMul", "matmul", (a, b), (), attrs), deviation)


def binary_node(
    rng: np.random.Generator,
    op: str,
    a_shape: Shape = (1, 4, 5, 6),
    b_shape: Shape = (1, 4, 5, 6),
    *,
    constant_b: bool = False,
) -> Node:
    """An Add, Sub, Mul or Div of "a" and "b"; `constant_b` gives b a value."""
    a, b = activation(rng, "a", a_shape), activation(rng, "b", b_shape)
    if constant_b:
        b = constant("b", random_stored(rng, b_shape), b.quant)
    deviation = (a.scale + b.scale) * _ACTIVATION_DEVIATION
    if op == "Mul":
        deviation = a.scale * b.scale * _ACTIVATION_DEVIATION**2
    elif op == "Div":
        deviation = a.scale / b.scale
    return finish(rng, Node(op, op.lower(), (a, b), (), {"clamp": clamp_of(rng)}), deviation)


def max_pool_node(
    rng: np.random.Generator,
    shape: Shape = (1, 6, 7, 5),
    *,
    kernel: tuple[int, int] = (2, 2),
    strides: tuple[int, int] = (2, 2),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
) -> Node:
    """A MaxPool; its output has the input's scale and zero point."""
    x = activation(rng, "x", shape)
    attrs = {"kernel": kernel, "strides": strides, "pads": pads, "dilations": dilations}
    node = Node("MaxPool", "max_pool", (x,), (), attrs)
    (out,) = operator_for(node).infer_shapes(node)
    return Node(node.op, node.name, node.inputs, (Tensor("y", out, "int8", x.quant),), attrs)


def average_pool_node(
    rng: np.random.Generator,
    shape: Shape = (1, 6, 7, 5),
    *,
    kernel: tuple[int, int] = (2, 2),
    strides: tuple[int, int] = (2, 2),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    overhang: tuple[int, int] = (0, 0),
    count_include_pad: bool = False,
) -> Node:
    """An AveragePool."""
    x = activation(rng, "x", shape)
    attrs = {
        "kernel": kernel,
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "overhang": overhang,
        "count_include_pad": int(count_include_pad),
        "clamp": clamp_of(rng),
    }
    deviation = x.scale * _ACTIVATION_DEVIATION / math.sqrt(math.prod(kernel))
    return finish(rng, Node("AveragePool", "average_pool", (x,), (), attrs), deviation)


def reduce_mean_node(
    rng: np.random.Generator,
    shape: Shape = (1, 6, 7, 5),
    axes: tuple[int, ...] = (1, 2),
    *,
    keepdims: bool = True,
) -> Node:
    """A ReduceMean."""
    x = activation(rng, "x", shape)
    attrs = {"axes": axes, "keepdims": int(keepdims), "clamp": clamp_of(rng)}
    deviation = x.scale * _ACTIVATION_DEVIATION / math.sqrt(math.prod(shape[axis] for axis in axes))
    return finish(rng, Node("ReduceMean", "reduce_mean", (x,), (), attrs), deviation)


def real(tensor: Tensor, stored: Array) -> Array:
    """The real numbers (float64) that `stored` values of `tensor` stand for."""
    assert tensor.quant is not None
    along = (1,) * stored.ndim
    if tensor.quant.axis is not None:
        along = tuple(-1 if axis == tensor.quant.axis else 1 for axis in range(stored.ndim))
    scale, zero_point = np.array(tensor.quant.scale), np.array(tensor.quant.zero_point)
    return (stored.astype(np.float64) - zero_point.reshape(along)) * scale.reshape(along)


def stored_inputs(rng: np.random.Generator, node: Node) -> dict[str, Array]:
    """Random stored values, extremes included, for the node's activation inputs, by name."""
    return {t.name: random_stored(rng, t.shape) for t in node.inputs if t.value is None}
