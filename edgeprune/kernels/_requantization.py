"""What the portable kernels share: constants of requantisation, edges of windows, and overlap distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels.base import Constant, LayerNames
from edgeprune.ops._convolution import ConvGeometry, requantized_multipliers

__all__ = [
    "REQUANTIZE_BYTES",
    "REQUANTIZE_INSTRUCTIONS",
    "Edges",
    "channelwise_distance",
    "edges",
    "pixelwise_distance",
    "requantization_constants",
    "taps_inside",
    "weighted_arguments",
]

REQUANTIZE_INSTRUCTIONS = 33
"""Of one output: requantize, clamp, store and loop, counted on Cortex-M3."""
REQUANTIZE_BYTES = 9
"""Of one output channel: bias, multiplier, shift."""


@dataclass(frozen=True)
class Edges:
    """On which sides any output pixel's window leaves the image."""

    top: bool
    left: bool
    bottom: bool
    right: bool


def edges(g: ConvGeometry) -> Edges:
    """The sides on which windows of `g` leave the image."""
    last_y = (g.out_height - 1) * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
    last_x = (g.out_width - 1) * g.stride_width - g.pad_left + (g.kernel_width - 1) * g.dilation_width
    return Edges(g.pad_top > 0, g.pad_left > 0, last_y >= g.in_height, last_x >= g.in_width)


def taps_inside(g: ConvGeometry) -> tuple[int, int]:
    """Kernel rows inside the image, summed over output rows; and columns likewise."""
    rows = np.arange(g.out_height)[:, None] * g.stride_height - g.pad_top
    rows = rows + np.arange(g.kernel_height) * g.dilation_height
    columns = np.arange(g.out_width)[:, None] * g.stride_width - g.pad_left
    columns = columns + np.arange(g.kernel_width) * g.dilation_width
    return (
        int(((rows >= 0) & (rows < g.in_height)).sum()),
        int(((columns >= 0) & (columns < g.in_width)).sum()),
    )


def requantization_constants(node: Node, bias: Array) -> tuple[Constant, Constant, Constant]:
    """Bias, multipliers and shifts of a node with inputs x, w, b, one each per output channel."""
    multipliers, shifts = requantized_multipliers(node)
    return (
        Constant("bias", "int32_t", bias),
        Constant("multipliers", "int32_t", multipliers),
        Constant("shifts", "int8_t", shifts.astype(np.int8), align=1),
    )


def weighted_arguments(node: Node, names: LayerNames) -> str:
    """The C arguments every portable kernel of a node with inputs x, w, b takes, in their order."""
    x, y = node.inputs[0], node.output
    pointers = [
        names.tensors[x.name],
        *(names.constants[role] for role in ("weights", "bias", "multipliers", "shifts")),
        names.tensors[y.name],
    ]
    low, high = node.ints("clamp")
    return ", ".join([*pointers, *map(str, (x.zero_point, y.zero_point, low, high))])


def pixelwise_distance(g: ConvGeometry, last_channels: int) -> int | None:
    """Least address(input) - address(output) of a kernel that finishes output pixels one by one, in order.

    While it works on pixel p it still reads p's window, and has stored everything before p and all but p's
    `last_channels`; afterwards it reads the windows of later pixels only. None for several images.
    """
    first = _first_read(g)
    if first is None:
        return None
    pixels = np.arange(len(first), dtype=np.int64)
    during = (pixels + 1) * g.out_channels - last_channels - first * g.in_channels
    return max(0, int(during.max()), _after(g, first))


def channelwise_distance(g: ConvGeometry) -> int | None:
    """Like `pixelwise_distance`, for a kernel whose output channel c reads no input channel below c.

    Within pixel p, when channels up to c are stored, only channels above c of p's window are still read; so
    what is stored and what is read advance together and p's own distance is (p - first pixel read) * channels.
    """
    first = _first_read(g)
    if first is None:
        return None
    assert g.in_channels == g.out_channels
    pixels = np.arange(len(first), dtype=np.int64)
    during = (pixels - first) * g.in_channels
    return max(0, int(during.max()), _after(g, first))


def _after(g: ConvGeometry, first: Array) -> int:
    """Bytes that output runs ahead of unread input when a pixel is finished, at most."""
    stored = np.arange(1, len(first), dtype=np.int64) * g.out_channels
    return int((stored - first[1:] * g.in_channels).max(initial=0))


def _first_read(g: ConvGeometry) -> Array | None:
    """For each output pixel, the first input pixel that it or any later pixel reads."""
    if g.batch > 1:
        return None
    oy, ox = np.divmod(np.arange(g.out_height * g.out_width, dtype=np.int64), g.out_width)
    iy, ix = oy * g.stride_height - g.pad_top, ox * g.stride_width - g.pad_left
    # The first tap inside the image; with dilation it may lie beyond position 0, which is the safe bound.
    first = np.maximum(iy, 0) * g.in_width + np.maximum(ix, 0)
    return np.minimum.accumulate(first[::-1])[::-1]
