"""Convolution of few input channels for cores with the DSP extension: blocks of rows, straight from widened rows.

`conv_s8_dsp` lays the window of every pixel out anew, k times k copies of an input; with one or three channels that
takes as long as a third of the products. Here the rows that a strip of up to four rows of outputs reads are widened to
halfwords once, beside their padding. A kernel row of a window is then so many words side by side, and the pixels of a
block, which lie below one another, are a constant distance apart: one LDR each, shared by two output channels. All
windows and all channels read the same rows.

Where a pixel is an odd number of halfwords from its neighbour, its words would not be aligned. So there is a second
copy of the rows, one halfword on, for every other column.

Weights are doubled halfwords, in order: |2 * w| <= 256, inputs are bytes, and sums are twice the accumulator, below
2**24 as the weights prove (`_dsp.is_within_range`). The last halfword of an odd kernel row meets a weight of 0; what
lies there was widened or filled, and does not matter. Requantisation is that of `_dsp_block`: the stream holds the
right shift less one beside each multiplier.

In place. A strip's rows are widened before any of its outputs is stored, and later strips widen the rows they share
with it again: `_least_distance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_conv import run_sizes
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvWidenedDsp"]

_CODE_BYTES = 1000
_ROWS = 4
"""Of outputs in a strip, at most."""
_MOST_CHANNELS = 3
"""With four, windows are gathered by words, which costs a fraction, and weights in a byte each are worth more."""
_MOST_WORDS = 24
"""Of a window: longer ones have enough products for each copy."""
_LOOP_WORDS = 10
"""Of a turn of the loop, at most: 56 bytes of code each."""
_REACH = 4095
"""The largest offset of a load or store, and of an addition."""


@dataclass(frozen=True)
class Strips:
    """How rows lie in scratch: `row_words` for each of `input_rows`, and again for each where there are two `copies`.

    `heights` are those of the strips, as (rows of outputs, how many). Windows reach `row_inputs` of a row's inputs; a
    kernel row is `kernel_words`.
    """

    heights: tuple[tuple[int, int], ...]
    input_rows: int
    row_inputs: int
    row_words: int
    kernel_words: int
    copies: int
    rows_per_turn: int

    @staticmethod
    def of(g: ConvGeometry) -> Strips:
        """The strips of geometry `g`."""
        heights = run_sizes(g.out_height)
        tallest = max(height for height, _ in heights)
        columns = (g.out_width - 1) * g.stride_width + g.kernel_width
        kernel_words = (g.kernel_width * g.in_channels + 1) // 2
        turns = [n for n in range(1, g.kernel_height + 1) if g.kernel_height % n == 0]
        return Strips(
            heights,
            (tallest - 1) * g.stride_height + g.kernel_height,
            max(0, min(g.in_width, columns - g.pad_left)) * g.in_channels,
            columns * g.in_channels // 2 + 1,
            kernel_words,
            1 + g.stride_width * g.in_channels % 2,
            max(n for n in turns if n == 1 or n * kernel_words <= _LOOP_WORDS),
        )

    @property
    def copy_words(self) -> int:
        """Words from a row to its copy; one before the second copy takes what that leaves out."""
        return self.input_rows * self.row_words + 1

    @property
    def scratch_bytes(self) -> int:
        """All rows; a multiple of 8."""
        return -(-4 * self.copies * self.copy_words // 8) * 8


class ConvWidenedDsp(KernelFamily):
    """int8 Conv of one image with one group, of up to three channels, without dilation."""

    name = "conv_s8_dsp_widened"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or not _fits(nodes[0]):
            return ()
        (node,) = nodes
        g = conv_geometry(node)
        strips = Strips.of(g)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _stream_bytes(g, strips),
                cycles=_cycles(g, strips, node, device),
                scratch_bytes=strips.scratch_bytes,
                overlap=(_least_distance(g, strips),),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_within_range_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        stream = _stream(weights[w.name], weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        comment = "initial sums, doubled weights, multipliers each with its shift of channel pairs"
        return (Constant("stream", "uint32_t", stream, comment, align=8),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, scaling = conv_geometry(node), _dsp.Scaling.of(node)
        strips = Strips.of(g)
        shape = (
            f"{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        scale, scales = scaling.functions(prefix, 1)
        values = {"prefix": prefix, "g": g, "s": strips, "scaling": scaling, "scale": scale}
        widen = self.render(f"{prefix}_widen_row{strips.copies}", {**values, "part": "widen"})
        blocks = [
            self.render(
                f"{prefix}_rows{height}_{shape}_{scaling.kind}", {**values, "part": "block", "height": height}
            )
            for height, _ in strips.heights
        ]
        names_of = [block.name for block in blocks]
        layer = self.render(
            f"{prefix}_conv_rows_{shape}",
            {**values, "part": "layer", "widen": widen.name, "blocks": names_of},
        )
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        rows = f"({prefix}_u32_t *)(void *){names.scratch}"
        zeros = f"{node.inputs[0].zero_point}, {scaling.zero}"
        body = f"{layer.name}({x}, {names.constants['stream']}, {y}, {rows}, {zeros});"
        helpers = _dsp.helpers(prefix, ("portable_smlad", "sxtb16", "sxtb16_1"))
        functions: tuple[Function, ...] = (*scales, *helpers, widen, *blocks, layer)
        return Code(functions, body)


def _fits(node: Node) -> bool:
    """Whether windows are short, and what the code of a block adds to addresses is within reach."""
    g = conv_geometry(node)
    plain = g.group == 1 and g.batch == 1 and (g.dilation_height, g.dilation_width) == (1, 1)
    if not plain or g.taps == g.in_channels or g.out_channels < 2 or node.ints("clamp") != (-128, 127):
        return False
    if g.in_channels > _MOST_CHANNELS:
        return False
    s = Strips.of(g)
    below = max(height for height, _ in s.heights) - 1
    row = 4 * s.row_words
    inputs = (below * g.stride_height + s.rows_per_turn - 1) * row + 4 * s.kernel_words
    outputs = max(below, 1) * g.out_width * g.out_channels + 1
    return (
        s.kernel_words * g.kernel_height <= _MOST_WORDS
        and max(inputs, outputs, g.kernel_height * row, 4 * g.stride_width * g.in_channels) <= _REACH
    )


def _pair_words(g: ConvGeometry, s: Strips) -> int:
    """Of the stream, for a pair of channels."""
    return 2 * s.kernel_words * g.kernel_height + 6


def _stream_bytes(g: ConvGeometry, s: Strips) -> int:
    return -(-g.out_channels // 2) * 4 * _pair_words(g, s)


def _stream(w: Array, b: Array, zero_x: int, scaling: _dsp.Scaling) -> Array:
    """What the function reads for weights [out, kh, kw, in], at least two channels: uint32.

    For every pair of channels two initial sums, the interleaved words of weights, then for each its multiplier and
    its right shift less one. An odd last channel pairs with the one before it.
    """
    out, height = w.shape[:2]
    rows = w.astype(np.int64).reshape(out, height, -1)
    padded = np.pad(rows, ((0, 0), (0, 0), (0, rows.shape[2] % 2)))
    halves = (2 * padded & 0xFFFF).reshape(out, -1, 2)
    words = halves[..., 0] | (halves[..., 1] << 16)
    sums = 2 * (b.astype(np.int64) - zero_x * rows.sum(axis=(1, 2)))
    scales = np.stack([scaling.multipliers.astype(np.int64), -scaling.shifts.astype(np.int64) - 1], axis=1)
    parts = []
    for first in range(0, out, 2):
        start = min(first, out - 2)
        pair = [start, start + 1]
        parts += [sums[pair], words[pair].T.ravel(), scales[pair].ravel()]
    stream: Array = (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)
    return stream


def _least_distance(g: ConvGeometry, s: Strips) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    When the strip that ends before output row `end` is stored, later ones read from the first row of `end`'s windows.
    """
    ends = np.cumsum([height for height, count in s.heights for _ in range(count)])[:-1]
    unread = np.clip(ends * g.stride_height - g.pad_top, 0, g.in_height) * g.in_width * g.in_channels
    stored = ends * g.out_width * g.out_channels
    return max(0, int((stored - unread).max(initial=0)))


def _cycles(g: ConvGeometry, s: Strips, node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for weights and code.

    A word of weights for two channels costs a block of p pixels 2 + 3 p, a turn of the loop 4, the rest of a block 24
    and 8 to 10 for each pixel. Widening takes 2.6 for an input and copy, and 35 for a row.
    """
    pairs, words = -(-g.out_channels // 2), s.kernel_words * g.kernel_height
    turns = g.kernel_height // s.rows_per_turn
    scale = 8 if node.output.zero_point <= -128 else 10
    sums = rest = widened = 0.0
    for height, count in s.heights:
        blocks = count * g.out_width * pairs
        sums += blocks * (words * (2 + 3 * height) + 4 * turns)
        rest += blocks * (24 + scale * height)
        widened += count * ((height - 1) * g.stride_height + g.kernel_height)
    row = g.in_width * g.in_channels * (1.2 + 1.4 * s.copies) + 35
    instructions = {
        _cost.Kind.STREAM: sums,
        _cost.Kind.SCALE: rest,
        _cost.Kind.GATHER: widened * row,
    }
    stream, strips = _stream_bytes(g, s), sum(count for _, count in s.heights)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _pair_waits(g, s, device, strips) * pairs
        + _cost.read_waits(device, stream, loads=0)
    )


def _pair_waits(g: ConvGeometry, s: Strips, device: Device, strips: int) -> float:
    """Cycles that reading a pair's stream waits, for every column of every strip, beyond the first time."""
    size = 4 * _pair_words(g, s)
    once = _cost.read_waits(device, size, loads=0)
    columns = _cost.read_waits(device, size, loads=g.out_width * size / 4, passes=g.out_width)
    return strips * columns - once


FAMILY = ConvWidenedDsp()
