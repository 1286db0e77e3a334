"""Constants as integers: weights int8 per channel, biases int32, other operands int8 per tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.quantize.ranges import symmetric_scale

__all__ = ["channel_scales", "quantize_bias", "quantize_weight", "widen_for_bias"]

_LARGEST_BIAS = 2.0**30


def channel_scales(weight: Array, axis: int | None) -> Array:
    """Symmetric scales: one per index along `axis`, or a scalar where `axis` is None."""
    magnitude = np.abs(weight.astype(np.float64))
    if axis is None:
        return np.asarray(symmetric_scale(float(magnitude.max(initial=0.0))), np.float32)
    largest = magnitude.max(axis=tuple(other for other in range(weight.ndim) if other != axis), initial=0.0)
    return np.asarray([symmetric_scale(float(value)) for value in largest], np.float32)


def widen_for_bias(scales: Array, input_scale: float, bias: Array) -> Array:
    """Raise the scale of a channel whose weights are so small that its bias would leave the int32 range.

    Such a channel is its bias: weights that round to nothing at the wider scale did not matter beside it. A
    transposed convolution with groups has several biases for one scale.
    """
    needed = np.abs(bias.astype(np.float64)).reshape(-1, len(scales)).max(axis=0) / (
        _LARGEST_BIAS * input_scale
    )
    return np.asarray(np.maximum(scales, needed), np.float32)


def quantize_weight(weight: Array, scales: Array, axis: int | None) -> Array:
    """int8 in [-127, 127], rounded to nearest even."""
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = -1
    stored = np.rint(weight.astype(np.float64) / scales.astype(np.float64).reshape(shape))
    return np.clip(stored, -127, 127).astype(np.int8)


def quantize_bias(bias: Array, input_scale: float, scales: Array) -> tuple[Array, Array]:
    """int32 at scale input * weight[channel], and those scales as float32 [len(bias)]."""
    repeats = len(bias) // scales.size
    product = (
        np.float64(np.float32(input_scale)) * np.tile(np.ravel(scales).astype(np.float64), repeats)
    ).astype(np.float32)
    stored = np.rint(bias.astype(np.float64) / product.astype(np.float64))
    return np.clip(stored, -(2.0**31), 2.0**31 - 1).astype(np.int32), product
