"""What Conv, ConvTranspose and FullyConnected share: geometry, sums, range proof, requantisation.

Definition on stored integers, per output channel c, with scales sx, sw[c], sy and zero points zx, zy:

    acc = b[c] + sum over taps inside the image of w[c, tap] * (x[tap] - zx)
    y = clamp(zy + multiply_by_quantized_multiplier(acc, sx * sw[c] / sy))

which is TensorFlow Lite's int8 specification; positions outside the image contribute nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier, quantize_multipliers

__all__ = [
    "WIDEST_WEIGHT",
    "ConvGeometry",
    "accumulator_bounds",
    "check_accumulators",
    "check_weighted",
    "conv_geometry",
    "correlate",
    "requantize_channels",
    "requantized_multipliers",
    "weight_scales",
]

WIDEST_WEIGHT = 255
"""Largest magnitude of a weight: that of the difference of two 8-bit integers."""

_COLUMN_ELEMENTS = 1 << 22
"""Columns are made for as many images at a time as keeps them below 32 MiB of float64."""


@dataclass(frozen=True)
class ConvGeometry:
    """Shapes and steps of a convolution of one batch of N, H, W, C images."""

    batch: int
    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride_height: int
    stride_width: int
    dilation_height: int
    dilation_width: int
    pad_top: int
    pad_left: int
    pad_bottom: int
    pad_right: int
    group: int

    @property
    def group_in_channels(self) -> int:
        """Input channels each output channel sees."""
        return self.in_channels // self.group

    @property
    def group_out_channels(self) -> int:
        """Output channels of one group."""
        return self.out_channels // self.group

    @property
    def taps(self) -> int:
        """Weights of one output channel."""
        return self.kernel_height * self.kernel_width * self.group_in_channels

    @property
    def is_depthwise(self) -> bool:
        """Every input channel is its own group."""
        return self.group == self.in_channels

    @property
    def is_padded(self) -> bool:
        """Whether any output pixel's window leaves the image."""
        last_y = (self.out_height - 1) * self.stride_height + (self.kernel_height - 1) * self.dilation_height
        last_x = (self.out_width - 1) * self.stride_width + (self.kernel_width - 1) * self.dilation_width
        outside = last_y - self.pad_top >= self.in_height or last_x - self.pad_left >= self.in_width
        return self.pad_top > 0 or self.pad_left > 0 or outside

    @property
    def macs(self) -> int:
        """Multiply-accumulates over all output positions, taps on padding included."""
        return self.batch * self.out_height * self.out_width * self.out_channels * self.taps


def conv_geometry(node: Node) -> ConvGeometry:
    """The geometry of a Conv node; the output's size follows from input, weights and attributes.

    Raises:
        ValueError: the kernel is larger than the padded image, or channels and groups do not fit together.
    """
    batch, height, width, channels = node.inputs[0].shape
    out_channels, kernel_height, kernel_width, group_channels = node.inputs[1].shape
    stride_height, stride_width = node.ints("strides")
    dilation_height, dilation_width = node.ints("dilations")
    top, left, bottom, right = node.ints("pads")
    group = node.int("group")
    if group_channels * group != channels or out_channels % group:
        raise ValueError(
            f"weights for {group_channels} x {group} channels in {group} groups do not fit {channels} input "
            f"and {out_channels} output channels"
        )
    free_height = height + top + bottom - (kernel_height - 1) * dilation_height - 1
    free_width = width + left + right - (kernel_width - 1) * dilation_width - 1
    if free_height < 0 or free_width < 0:
        raise ValueError("the kernel is larger than the padded input")
    return ConvGeometry(
        batch,
        height,
        width,
        channels,
        free_height // stride_height + 1,
        free_width // stride_width + 1,
        out_channels,
        kernel_height,
        kernel_width,
        stride_height,
        stride_width,
        dilation_height,
        dilation_width,
        top,
        left,
        bottom,
        right,
        group,
    )


def correlate(x: Array, w: Array, geometry: ConvGeometry) -> Array:
    """The convolution's sums in float64, padding with zeros: exact for integers below 2**53.

    Args:
        x: images, [N, H, W, C], any N.
        w: weights, [out, kh, kw, C / group].

    Returns:
        [N, out height, out width, out].
    """
    g = geometry
    padded = np.pad(
        x.astype(np.float64), ((0, 0), (g.pad_top, g.pad_bottom), (g.pad_left, g.pad_right), (0, 0))
    )
    extent = ((g.kernel_height - 1) * g.dilation_height + 1, (g.kernel_width - 1) * g.dilation_width + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    windows = windows[:, :: g.stride_height, :: g.stride_width, :, :: g.dilation_height, :: g.dilation_width]
    kernels = w.astype(np.float64).transpose(0, 3, 1, 2).reshape(g.group, g.group_out_channels, g.taps)
    per_image = g.out_height * g.out_width * g.group * g.taps
    step = max(1, _COLUMN_ELEMENTS // per_image)
    parts = []
    for start in range(0, len(x), step):
        block = windows[start : start + step]
        columns = block.reshape(-1, g.group, g.taps).transpose(1, 0, 2)
        sums = np.matmul(columns, kernels.transpose(0, 2, 1))
        parts.append(sums.transpose(1, 0, 2).reshape(len(block), g.out_height, g.out_width, g.out_channels))
    return np.concatenate(parts)


def weight_scales(w: Tensor) -> Array:
    """The scale of each output channel (axis 0) of `w`, float64, repeated where it is per tensor."""
    assert w.quant is not None, w.name
    return np.broadcast_to(np.array(w.quant.scale, np.float64), (w.shape[0],))


def requantized_multipliers(node: Node) -> tuple[Array, Array]:
    """Multiplier and shift of each output channel of a node with inputs x, w, b: two int32 arrays [out]."""
    x, w = node.inputs[0], node.inputs[1]
    return quantize_multipliers(x.scale * weight_scales(w) / node.output.scale)


def requantize_channels(node: Node, acc: Array) -> Array:
    """int32 accumulators [..., out] of a node with inputs x, w, b, as its stored int8 output."""
    multipliers, shifts = requantized_multipliers(node)
    low, high = node.ints("clamp")
    scaled = multiply_by_quantized_multiplier(acc, multipliers, shifts)
    return clamp_int8(scaled + node.output.zero_point, low, high)


def accumulator_bounds(zero_point: int, w: Array, b: Array) -> tuple[Array, Array]:
    """Bounds of every partial sum of an accumulator, over the whole input range: (low, high), int64 [out].

    The sum is b[c] + sum of w[c, tap] * (x[tap] - zero_point) for int8 x. Positive and negative terms are
    summed apart, each tap may also be absent, and the bias may come first or last; so any order of additions
    and any subset of taps stays within the bounds. `zero_point` 0 bounds the sums over raw x.

    Args:
        zero_point: subtracted from the stored input, within int8.
        w: weights, output channels on axis 0, any integers.
        b: bias [out].
    """
    lowest, highest = -128 - zero_point, 127 - zero_point
    rows = w.astype(np.int64).reshape(w.shape[0], -1)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    bias = np.asarray(b, np.int64)
    low = np.minimum(bias, 0) + positive * lowest + negative * highest
    high = np.maximum(bias, 0) + positive * highest + negative * lowest
    return low, high


def check_accumulators(node: Node) -> None:
    """Proves that no accumulator of a node with inputs x, w, b leaves int32; nothing while values are absent.

    Raises:
        ValueError: it might.
    """
    x, w, b = node.inputs
    if w.value is None or b.value is None:
        return
    low, high = accumulator_bounds(x.zero_point, w.value, b.value)
    if low.min() < -(1 << 31) or high.max() >= 1 << 31:
        channel = int(np.argmax(np.maximum(-low, high)))
        raise ValueError(f"the accumulator of output channel {channel} could leave int32")


def check_weighted(node: Node) -> None:
    """The quantisation rule of nodes with inputs x, w, b: int8, weights with zero points 0, int32, and int8 out.

    Weights are int8, or int16 within [-255, 255]: 8-bit integers of another zero point, less that zero point.

    Raises:
        ValueError: the node breaks it.
    """
    x, w, b = node.inputs
    y = node.output
    if (x.dtype, b.dtype, y.dtype) != ("int8", "int32", "int8") or w.dtype not in ("int8", "int16"):
        types = f"{x.dtype}, {w.dtype} and {b.dtype} to {y.dtype}"
        raise ValueError(f"takes int8, int8 (or int16) and int32 to int8, not {types}")
    if w.dtype == "int16" and w.value is not None and np.abs(w.value.astype(np.int32)).max() > WIDEST_WEIGHT:
        raise ValueError(f"weights must be within [-{WIDEST_WEIGHT}, {WIDEST_WEIGHT}]")
    if w.quant is None or w.quant.axis not in (None, 0) or any(w.quant.zero_point):
        raise ValueError("weights need scales per tensor or per output channel, and zero points of 0")
    if len(w.quant.scale) not in (1, w.shape[0]) or b.shape != (w.shape[0],):
        raise ValueError("weights, their scales and the bias differ in their number of output channels")
    check_accumulators(node)
