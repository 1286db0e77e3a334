"""What a depthwise layer of `depthwise_s8_dsp`, whole or by rows, takes: instructions, flash, and words of its table.

All but `fits_tiles` is known before the layer's scales, of which a left shift in some channel decides more.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._dsp_planes import Axis, Planes
from edgeprune.kernels._dsp_window import Window, weight_pairs, window_of
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["code_bytes_of", "constant_bytes", "depthwise_cycles", "fits_tiles", "table_words"]

_CODE_BYTES, _TILE_BYTES = 400, 350
"""Of a layer's own function and that of 3 x 3 tiles, about; helpers are shared by all layers."""


def _may_be_short(node: Node) -> bool:
    """Whether sums are requantised where they are unless a channel shifts left, which its scales decide later."""
    return node.ints("clamp") == (-128, 127)


def fits_tiles(p: Planes) -> bool:
    """Whether `_dsp_depthwise.j2` serves this window: 3 x 3, rows side by side, offsets that instructions can hold."""
    inputs = 4 * p.row_words * (p.across.stride + 3)
    outputs = p.across.output_step + p.along.output_step
    undilated = p.across.dilation == p.along.dilation == 1
    fits = (p.across.kernel, p.along.kernel) == (3, 3) and p.along.stride in (1, 2) and undilated
    dense = p.across.output_step == p.along.outputs * p.along.output_step
    return fits and dense and max(inputs, outputs) < 4096


def table_words(across: Axis, along: Axis) -> int:
    """A channel's sums, weights, multiplier, offset and shift; or its sums, weights and a row of outputs' sums."""
    return 2 + across.kernel * len(weight_pairs(along)) + max(3, along.outputs)


def _window(p: Planes, node: Node) -> Window:
    """The code for a row of outputs as far as it is known before the layer's scales."""
    kind = "positive" if node.output.zero_point <= -128 else "fast"
    return window_of(p, kind if _may_be_short(node) else "sums")


def _is_tiled(p: Planes, node: Node) -> bool:
    """Whether the layer is made of 3 x 3 tiles, unless a channel shifts left."""
    return _may_be_short(node) and fits_tiles(p)


def constant_bytes(g: ConvGeometry, p: Planes, node: Node) -> int:
    """Of a layer's constants."""
    return g.in_channels * (20 if _is_tiled(p, node) else g.taps + 8)


def code_bytes_of(p: Planes, node: Node) -> int:
    """Of a layer's own functions, about."""
    tiled = _is_tiled(p, node)
    return _CODE_BYTES + (_TILE_BYTES if tiled else _window(p, node).code_bytes)


def depthwise_cycles(g: ConvGeometry, p: Planes, node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and flash waits.

    Filling four planes costs 13 for a word of two inputs and 11 for one of a single input, two planes 8 and 6, and
    6 for each row. A channel of 3 x 3 windows costs 42 and then 26 for two outputs (29 at stride 2), 1.5 more where
    the zero point is no lower clamp, and for an odd row or column; other windows what their code says. Scaling a
    sum apart costs 16, a word of the table 7, and starting a channel 35 besides.
    """
    groups, strips = -(-g.in_channels // p.planes), -(-p.across.outputs // p.strip)
    fill = (
        13 * p.whole_pairs
        + 11 * (p.filled_words - p.whole_pairs)
        - (5 * p.filled_words if p.planes == 2 else 0)
    )
    filled_rows = groups * strips * min(p.plane_rows, p.across.inputs)
    rows, starts = p.planes * groups * p.across.outputs, p.planes * groups * strips
    if _is_tiled(p, node):
        per_pair = 23 + 3 * p.along.stride + (0 if node.output.zero_point <= -128 else 1.5)
        row = p.along.outputs * per_pair / 2 + 4.5 + 2 * (p.along.outputs % 2)
        odd = starts * (p.strip % 2) * (2.5 * p.along.outputs + 4)
        tiles, windows = rows * row + odd + starts * 42, 0.0
    else:
        tiles = starts * (35 + 7 * p.across.kernel * len(weight_pairs(p.along)))
        windows = rows * float(_window(p, node).instructions)
    if not _may_be_short(node):
        tiles += rows * (16 * p.along.outputs + 20)
    instructions = {_cost.Kind.PLANES: filled_rows * (fill + 6) + tiles, _cost.Kind.MULTIPLY: windows}
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, code_bytes_of(p, node))
        + _cost.read_waits(device, constant_bytes(g, p, node), loads=starts * (g.taps + 2), passes=strips)
    )
