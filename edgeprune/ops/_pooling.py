"""What MaxPool, AveragePool and ReduceMean share: window geometry, lowering, and the mean's rounding.

A mean of `count` elements with stored sum S = sum of (x - zx) is, on stored integers,

    y = clamp(zy + multiply_by_quantized_multiplier(S, sx / (sy * count)))

with one multiplier for each distinct count; the product of sum and multiplier is exact in 64 bits, so the
result is within one of the rounded real mean.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, AttributeValue, Node, Tensor
from edgeprune.ops._convolution import ConvGeometry
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier, quantize_multipliers
from edgeprune.ops._windows import Window, in_channel_last, pair, spatial_rank, window
from edgeprune.ops.base import OnnxNode

__all__ = [
    "check_mean",
    "lower_pool",
    "lowered_window",
    "mean_multipliers",
    "pool_geometry",
    "pool_windows",
    "requantized_mean",
]


def pool_geometry(node: Node) -> ConvGeometry:
    """The geometry of a pooling node, as a depthwise convolution's.

    Raises:
        ValueError: the window is larger than the padded image.
    """
    batch, height, width, channels = node.inputs[0].shape
    kernel_height, kernel_width = node.ints("kernel")
    stride_height, stride_width = node.ints("strides")
    dilation_height, dilation_width = node.ints("dilations")
    top, left, bottom, right = node.ints("pads")
    free_height = height + top + bottom - (kernel_height - 1) * dilation_height - 1
    free_width = width + left + right - (kernel_width - 1) * dilation_width - 1
    if free_height < 0 or free_width < 0:
        raise ValueError("the window is larger than the padded input")
    return ConvGeometry(
        batch,
        height,
        width,
        channels,
        free_height // stride_height + 1,
        free_width // stride_width + 1,
        channels,
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
        channels,
    )


def pool_windows(x: Array, geometry: ConvGeometry, fill: int | float) -> Array:
    """A view [N, out height, out width, C, kh, kw] of the windows of x, padded with `fill`."""
    g = geometry
    pads = ((0, 0), (g.pad_top, g.pad_bottom), (g.pad_left, g.pad_right), (0, 0))
    padded = np.pad(x, pads, constant_values=fill)
    extent = ((g.kernel_height - 1) * g.dilation_height + 1, (g.kernel_width - 1) * g.dilation_width + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    return windows[:, :: g.stride_height, :: g.stride_width, :, :: g.dilation_height, :: g.dilation_width]


def mean_multipliers(node: Node, counts: Array) -> tuple[Array, Array]:
    """Multipliers and shifts (int32) that turn sums over `counts` elements into the output's steps."""
    return quantize_multipliers(node.inputs[0].scale / (node.output.scale * counts.astype(np.float64)))


def requantized_mean(node: Node, sums: Array, counts: Array) -> Array:
    """Stored int8 means from integer `sums` of (x - zero point) over `counts` elements each (broadcast)."""
    distinct, where = np.unique(counts, return_inverse=True)
    multipliers, shifts = mean_multipliers(node, distinct)
    where = where.reshape(counts.shape)
    scaled = multiply_by_quantized_multiplier(sums, multipliers[where], shifts[where])
    return clamp_int8(scaled + node.output.zero_point, *node.ints("clamp"))


def check_mean(node: Node, count: int) -> None:
    """The type and range rule of a mean over `count` elements.

    Raises:
        ValueError: a tensor is not int8 with one scale, or a sum could leave int32.
    """
    for tensor in (node.inputs[0], node.output):
        if tensor.dtype != "int8" or tensor.quant is None or tensor.quant.axis is not None:
            raise ValueError(f"{tensor.name!r} must be int8 with one scale and zero point")
    if count * 255 >= 1 << 31:
        raise ValueError(f"sums over {count} elements could leave int32")


def lowered_window(node: OnnxNode) -> Window:
    """The window of an ONNX pooling node.

    Raises:
        UsageError: no kernel, or padding at least as large as the window, so that a window may be empty.
    """
    if not node.attrs.get("kernel_shape"):
        raise UsageError(f"{node.op_type} node {node.name!r} lacks its kernel_shape")
    frame = window(node, pair(node, "kernel_shape"))
    for axis in range(2):
        extent = (frame.kernel[axis] - 1) * frame.dilations[axis] + 1
        if max(frame.pads[axis], frame.pads[axis + 2] - frame.overhang[axis]) >= extent:
            raise UsageError(
                f"{node.op_type} node {node.name!r} has padding as large as its window; reduce it"
            )
    return frame


def lower_pool(
    op: str, node: OnnxNode, build: Builder, frame: Window, more: dict[str, AttributeValue]
) -> None:
    """Append the pooling operator `op`, channel-last, with the attributes of `frame` and `more`."""
    attrs: dict[str, AttributeValue] = {
        "kernel": frame.kernel,
        "strides": frame.strides,
        "dilations": frame.dilations,
        "pads": frame.pads,
        **more,
    }
    shape = node.outputs[0].shape
    signal = spatial_rank(node) == 1
    out_shape = (shape[0], 1, shape[2], shape[1]) if signal else (shape[0], shape[2], shape[3], shape[1])

    def emit(x: Tensor, y: Tensor) -> None:
        build.add(op, node.name, [x], [y], attrs)

    in_channel_last(node, build, out_shape, emit)
