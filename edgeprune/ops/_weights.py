"""Lowering of weights and biases: from ONNX's constants to the IR's weights and int32 bias."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Quant, Tensor
from edgeprune.ops._convolution import accumulator_bounds, weight_scales
from edgeprune.ops.base import OnnxNode

__all__ = ["narrowest", "quantized_weights", "weights_and_bias"]

_INT32 = (-(1 << 31), (1 << 31) - 1)
_BIAS_LIMIT = 1 << 30


def quantized_weights(node: OnnxNode, index: int) -> Tensor:
    """Input `index` of `node` as constant weights with zero points of 0: int8, or int16 within [-255, 255].

    The importer has moved other zero points to 0; int16 is where that left the 8 bits.

    Raises:
        UsageError: they are computed, not quantised, or have another zero point.
    """
    node.constant(index, "weights")
    weights = node.required(index)
    where = f"{node.op_type} node {node.name!r}"
    if weights.dtype not in ("int8", "int16") or weights.quant is None:
        raise UsageError(
            f"the weights of {where} are not quantised ({weights.dtype}); quantise that node too (QDQ format, int8 "
            "per output channel), or deploy the float model with --calibration"
        )
    if any(weights.quant.zero_point):
        raise UsageError(
            f"the weights of {where} have a zero point other than 0; quantise them symmetrically"
        )
    return weights


def narrowest(values: Array) -> Array:
    """Integers as int8 where all of them fit, else as int16."""
    fits = values.size == 0 or (values.min() >= -128 and values.max() <= 127)
    return values.astype(np.int8 if fits else np.int16)


def weights_and_bias(
    node: OnnxNode, index: int, x: Tensor, w: Tensor, build: Builder, factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The weights `w`, and input `index` of `node` as an int32 bias [out] at scale x * w[channel].

    An absent bias is zeros. An int32 bias of that scale already is kept; anything else is taken as real
    numbers, multiplied by `factor` and rounded to nearest (ties to even). Where that would leave 2**30, because
    a channel's weights are minute beside its bias, the channel's weights get a coarser scale: their rounding
    then moves a sum of K products by less than K * 2**-23 of the bias.

    Args:
        node: the ONNX node.
        index: which of its inputs is the bias.
        x: its activation.
        w: the weights as the IR has them, output channels on axis 0.
        build: where constants go.
        factor: multiplies the bias.

    Raises:
        UsageError: the input is not quantised, the bias is computed or of another size than [out], or sums
            could leave int32.
    """
    where = f"{node.op_type} node {node.name!r}"
    if x.quant is None:
        raise UsageError(f"the input of {where} is not quantised; quantise the model")
    assert w.value is not None
    scales = x.scale * weight_scales(w)
    given = np.zeros(w.shape[0], np.int32) if node.input(index) is None else node.constant(index, "bias")
    bias = node.input(index) or Tensor(f"{node.name}.bias", given.shape, "int32")
    if bias.dtype == "int32" and factor == 1.0 and _has_scale(bias, scales):
        stored = _per_channel(where, given, w.shape[0])
    else:
        real = _per_channel(where, _real(bias, given, scales), w.shape[0]) * factor
        growth = np.maximum(1.0, np.abs(real / scales) / _BIAS_LIMIT)
        w = _coarser(w, growth, build)
        stored = np.rint(real / (scales * growth))
        scales = scales * growth
    low, high = accumulator_bounds(x.zero_point, np.asarray(w.value), stored.astype(np.int64))
    if low.min() < _INT32[0] or high.max() > _INT32[1]:
        channel = int(np.argmax(np.maximum(-low, high)))
        raise UsageError(
            f"sums of output channel {channel} of {where} could leave 32 bits; its bias is too large"
        )
    quant = Quant(tuple(float(scale) for scale in scales), (0,) * w.shape[0], 0)
    return w, build.constant(bias.name, stored.astype(np.int32), quant)


def _per_channel(where: str, values: Array, channels: int) -> Array:
    """`values`, which may have axes of extent 1 or be a scalar, as one value per output channel."""
    try:
        return np.broadcast_to(values, (1,) * max(0, values.ndim - 1) + (channels,)).reshape(channels)
    except ValueError:
        raise UsageError(
            f"the bias of {where} has shape {list(values.shape)}; it must be one value for each of "
            f"{channels} output channels"
        ) from None


def _coarser(w: Tensor, growth: Array, build: Builder) -> Tensor:
    """`w` with the scale of each output channel multiplied by its `growth`."""
    if (growth == 1.0).all():
        return w
    assert w.value is not None
    along = growth.reshape(-1, *(1,) * (w.value.ndim - 1))
    scales = tuple(float(scale) for scale in weight_scales(w) * growth)
    value = np.rint(w.value / along).astype(w.dtype)
    return build.constant(w.name, value, Quant(scales, (0,) * len(scales), 0))


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
