"""Lowering of weights and biases: from ONNX's constants to the IR's int8 weights and int32 bias."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Quant, Tensor
from edgeprune.ops._convolution import weight_scales
from edgeprune.ops.base import OnnxNode

__all__ = ["lower_bias", "quantized_weights"]

_INT32 = (-(1 << 31), (1 << 31) - 1)


def quantized_weights(node: OnnxNode, index: int) -> Tensor:
    """Input `index` of `node` as constant int8 weights with zero points of 0.

    Raises:
        UsageError: they are computed, not quantised, or have another zero point.
    """
    node.constant(index, "weights")
    weights = node.required(index)
    where = f"{node.op_type} node {node.name!r}"
    if weights.dtype != "int8" or weights.quant is None:
        raise UsageError(
            f"the weights of {where} are not quantised; quantise them to int8 per output channel"
        )
    if any(weights.quant.zero_point):
        raise UsageError(
            f"the weights of {where} have a zero point other than 0; quantise them symmetrically"
        )
    return weights


def lower_bias(
    node: OnnxNode, index: int, x: Tensor, w: Tensor, build: Builder, factor: float = 1.0
) -> Tensor:
    """Input `index` of `node` as an int32 bias [out] at scale x * w[channel]; zeros where it is absent.

    An int32 bias of that scale already is kept; anything else is taken as real numbers, multiplied by
    `factor`, rounded to nearest (ties to even) and saturated at int32.

    Args:
        w: the weights as the IR has them, output channels on axis 0.

    Raises:
        UsageError: the input is not quantised, or the bias is computed or of another size than [out].
    """
    if x.quant is None:
        raise UsageError(
            f"the input of {node.op_type} node {node.name!r} is not quantised; quantise the model"
        )
    channels = w.shape[0]
    scales = x.scale * weight_scales(w)
    quant = Quant(tuple(float(scale) for scale in scales), (0,) * channels, 0)
    if node.input(index) is None:
        return build.constant(f"{node.name}.bias", np.zeros(channels, np.int32), quant)
    given = node.constant(index, "bias")
    bias = node.required(index)
    real, stored = _real(bias, given, scales), None
    try:
        flat = np.broadcast_to(real, (1,) * max(0, real.ndim - 1) + (channels,)).reshape(channels)
        if bias.dtype == "int32" and factor == 1.0 and _has_scale(bias, scales):
            stored = np.broadcast_to(given, (1,) * max(0, given.ndim - 1) + (channels,)).reshape(channels)
    except ValueError:
        raise UsageError(
            f"the bias of {node.op_type} node {node.name!r} has shape {list(given.shape)}; "
            f"it must be one value for each of {channels} output channels"
        ) from None
    if stored is None:
        stored = np.clip(np.rint(flat * factor / scales), *_INT32)
    return build.constant(bias.name, stored.astype(np.int32), quant)


def _real(bias: Tensor, value: Array, scales: Array) -> Array:
    """The bias as float64; an int32 bias without quantisation is at `scales`."""
    if bias.quant is None:
        return value.astype(np.float64) * (scales if bias.dtype == "int32" else 1.0)
    zero_points = np.array(bias.quant.zero_point, np.int64)
    real: Array = (value.astype(np.int64) - zero_points) * np.array(bias.quant.scale)
    return real


def _has_scale(bias: Tensor, scales: Array) -> bool:
    """Whether the bias is stored at `scales`, up to the rounding of float32 products."""
    if bias.quant is None:
        return True
    return not any(bias.quant.zero_point) and bool(np.allclose(bias.quant.scale, scales, rtol=1e-5, atol=0))
