"""What blocks of a convolution are for the DSP extension, what they cost, and what they may overlap.

Every number of pixels but 1, 2 and 5 is a sum of threes and fours: up to three blocks of 3 come first. Because a block
is gathered before it is stored, output may overtake input already gathered: `least_distance` compares, after every
block, the end of the stored output with the first input byte still to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS, LARGEST_WORDS, Block, block_instructions
from edgeprune.ops._convolution import ConvGeometry

__all__ = [
    "BLOCK",
    "Cost",
    "Form",
    "block_of",
    "cost",
    "forms_of",
    "gather_of",
    "inside_rows",
    "is_flat",
    "is_tiled",
    "least_distance",
    "leaves_height",
    "leaves_width",
    "output_pixels",
    "pair_stays_cached",
    "row_geometry",
    "run_sizes",
    "stays_cached",
    "window_words",
]

BLOCK = 4
"""Pixels of a block, at most."""
_GROUPS = 4
"""Blocks at a time where weights come from slow flash."""
_CODE_BYTES = 400
"""Of a layer's own function, about; helpers are shared by all layers."""
_WIDE_WORDS = 12
"""Windows up to this may have wide weights: beyond, the flash is worth more than an instruction per output."""


@dataclass(frozen=True)
class Form:
    """How a layer's blocks are computed: `groups` at a time, with `wide` weights."""

    groups: int = 1
    wide: bool = False

    @property
    def suffix(self) -> str:
        """Tells the form in a candidate's name."""
        return ("_wide" if self.wide else "") + (f"_groups{self.groups}" if self.groups > 1 else "")


class Cost(TypedDict):
    """The costs of a Candidate."""

    flash_bytes: int
    cycles: int
    scratch_bytes: int
    overlap: tuple[int | None, ...]


def cost(node: Node, g: ConvGeometry, device: Device, form: Form = Form()) -> Cost:
    """What `node` costs as a convolution of geometry `g`."""
    return Cost(
        flash_bytes=_CODE_BYTES + _stream_bytes(g, form),
        cycles=_cycles(g, node, device, form),
        scratch_bytes=_scratch_bytes(g, form.groups),
        overlap=(least_distance(g, _block_ends(output_pixels(g), form.groups, is_tiled(g))),),
    )


def forms_of(g: ConvGeometry, node: Node, device: Device) -> tuple[Form, ...]:
    """The forms worth offering: wide ones for short windows, groups where they spare slow flash."""
    fused = is_tiled(g) and node.ints("clamp") == (-128, 127)
    wide = fused and window_words(g) <= _WIDE_WORDS and gather_of(g) != "words"
    forms = [Form(), *([Form(wide=True)] if wide else [])]
    cached = [form for form in forms if fused and stays_cached(g, form, device)]
    return (*forms, *(Form(_GROUPS, form.wide) for form in cached))


def block_of(g: ConvGeometry, form: Form, pixels: int = BLOCK) -> Block:
    lanes = 3 if pixels == 3 and gather_of(g) == "flat" else BLOCK
    return Block(pixels, window_words(g), g.out_channels, form.wide, form.groups > 1, lanes)


def run_sizes(pixels: int) -> tuple[tuple[int, int], ...]:
    """Blocks that tile `pixels`, as (size, count): threes first, then fours."""
    if pixels <= BLOCK:
        return ((pixels, 1),)
    if pixels == 5:
        return ((3, 1), (2, 1))
    threes = -pixels % BLOCK
    runs = ((3, threes), (BLOCK, (pixels - 3 * threes) // BLOCK))
    return tuple(run for run in runs if run[1])


def output_pixels(g: ConvGeometry) -> int:
    return g.batch * g.out_height * g.out_width


def is_tiled(g: ConvGeometry) -> bool:
    """Whether the functions for blocks of fixed size reach all channels and words, and there are two channels."""
    return 1 < g.out_channels <= LARGEST_OUTPUTS and window_words(g) <= LARGEST_WORDS


def _stream_bytes(g: ConvGeometry, form: Form) -> int:
    if form.wide:
        return -(-g.out_channels // 2) * 4 * block_of(g, form).pair_words
    return _dsp.stream_bytes(g.out_channels, g.taps)


def row_geometry(g: ConvGeometry) -> ConvGeometry:
    """One output row of `g`, as a convolution of its window's rows.

    Where windows leave the image above or below, one row of input and one of padding stand for that.
    """
    span = (g.kernel_height - 1) * g.dilation_height + 1
    last = (g.out_height - 1) * g.stride_height - g.pad_top + span
    leaves = g.pad_top > 0 or last > g.in_height
    height, pad = (1, 1) if leaves else (span, 0)
    return replace(g, batch=1, out_height=1, in_height=height, pad_top=pad, pad_bottom=pad)


def window_words(g: ConvGeometry) -> int:
    """Words of four inputs in one window."""
    return -(-g.taps // 4)


def is_flat(g: ConvGeometry) -> bool:
    """Whether windows are the input's own pixels, one after the other."""
    same = (g.out_height, g.out_width) == (g.in_height, g.in_width)
    return g.taps == g.in_channels and not g.is_padded and same


def gather_of(g: ConvGeometry) -> str:
    """How windows become columns.

    "flat": pixels are the input's own, one after the other; "words": straight from rows of whole words;
    "bytes": through a byte buffer, for any geometry.
    """
    if is_flat(g):
        return "flat"
    width = (g.kernel_width - 1) * g.dilation_width + 1
    overhang = (g.out_width - 1) * g.stride_width - g.pad_left - g.in_width
    window_touches_image = g.pad_left <= width - 1 and overhang < 0 and g.kernel_width <= g.in_width
    return "words" if g.in_channels % 4 == 0 and window_touches_image else "bytes"


def leaves_height(g: ConvGeometry) -> bool:
    """Whether any window reaches beyond top or bottom of the image."""
    last = (g.out_height - 1) * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
    return g.pad_top > 0 or last >= g.in_height


def leaves_width(g: ConvGeometry) -> bool:
    """Whether any window reaches beyond the image's left or right."""
    last = (g.out_width - 1) * g.stride_width - g.pad_left + (g.kernel_width - 1) * g.dilation_width
    return g.pad_left > 0 or last >= g.in_width


def inside_rows(g: ConvGeometry, *, by_rows: bool = False) -> str:
    """The C condition that a kernel row lies inside the image, where rows of it are copied whole.

    `by_rows` where rows come as pointers, of which those outside of the image are null.
    """
    conditions = []
    if leaves_height(g):
        conditions += ["x[ky] != NULL"] if by_rows else ["iy >= 0", f"iy < {g.in_height}"]
    if leaves_width(g):
        conditions += ["ix >= 0", f"ix <= {g.in_width - g.kernel_width}"]
    return " && ".join(conditions)


def stays_cached(g: ConvGeometry, form: Form, device: Device) -> bool:
    """Whether flash is slow, and its data cache holds the weights of a pair of channels, wherever they start."""
    return output_pixels(g) > 5 and pair_stays_cached(4 * block_of(g, form).pair_words, device)


def pair_stays_cached(pair_bytes: int, device: Device) -> bool:
    """Whether flash is slow, and its data cache holds so many bytes of a pair of channels, wherever they start."""
    flash = device.flash
    if flash is None or not flash.wait_states:
        return False
    return -(-pair_bytes // flash.line_bytes) + 1 <= flash.data_lines


def _scratch_bytes(g: ConvGeometry, groups: int) -> int:
    """Expanded columns of blocks, and windows of bytes where they go through such; a multiple of 8."""
    buffer = BLOCK * 4 * window_words(g) if gather_of(g) == "bytes" else 0
    return -(-(2 * BLOCK * 4 * window_words(g) * groups + buffer) // 8) * 8


def least_distance(g: ConvGeometry, ends: Array) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    `ends` are the numbers of pixels stored whenever more are to be read: int [any], below the number of pixels.
    """
    oy, ox = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    iy = np.maximum(oy * g.stride_height - g.pad_top, 0)
    ix = np.maximum(ox * g.stride_width - g.pad_left, 0)
    pixel = np.minimum(iy * g.in_width + ix, g.in_height * g.in_width)
    image = g.in_height * g.in_width
    first = np.concatenate([pixel + n * image for n in range(g.batch)]) * g.in_channels
    unread = np.minimum.accumulate(first[::-1])[::-1]
    return max(0, int((ends * g.out_channels - unread[ends]).max(initial=0)))


def _block_ends(pixels: int, groups: int, tiled: bool) -> Array:
    """Pixels stored whenever more are to be read, however the layer's scaling makes blocks: int [any].

    Where blocks of fixed size tile the pixels, a clamp or a left shift calls for blocks of 4 only all the same.
    """
    ends, at = set(range(BLOCK, pixels, BLOCK)), 0
    for size, count in run_sizes(pixels) if tiled else ():
        ends |= set(range(at, at + size * count, size * groups))
        at += size * count
    return np.array(sorted(end for end in ends if 0 < end < pixels), np.int64)


def _cycles(g: ConvGeometry, node: Node, device: Device, form: Form) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for weights and code.

    The instructions were fitted to within 5 % of counts.

    Outside registers, a block costs 27, and for each pair of channels 115 plus 24.5 for each word of a window. A
    word is gathered for 9.4, and a kernel row of a pixel for 31; in lanes of four pixels, a word for 6.5, widened 4.5,
    and a kernel row of bytes for 34.
    """
    pixels, pairs, words = output_pixels(g), -(-g.out_channels // 2), window_words(g)
    low, high = node.ints("clamp")
    if is_tiled(g) and (low, high) == (-128, 127):
        kind = "positive" if node.output.zero_point <= low else "fast"
        runs = run_sizes(pixels)
    else:
        kind, runs = "", ((BLOCK, -(-pixels // BLOCK)),)
    multiply = scale = 0.0
    for size, count in runs:
        sums, rest = block_instructions(block_of(g, form, size), kind) if kind else (24.5 * words, 115)
        multiply, scale = multiply + count * pairs * sums, scale + count * pairs * rest
    blocks = sum(count for _, count in runs)
    instructions = {
        _cost.Kind.MULTIPLY: multiply,
        _cost.Kind.SCALE: scale,
        _cost.Kind.GATHER: blocks * 35 + pixels * _gather_instructions(g, form, fused=bool(kind)),
    }
    stream = _stream_bytes(g, form)
    passes = sum(-(-count // form.groups) for _, count in runs)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, stream, loads=blocks * stream / 4, passes=passes)
    )


def _gather_instructions(g: ConvGeometry, form: Form, *, fused: bool) -> float:
    """Of one pixel."""
    lane_word = 4.5 if form.wide else 6.5
    gather = gather_of(g)
    if gather == "words" or not fused:
        return (9.4 if gather != "bytes" else 11.8) * window_words(g) + 31 * g.kernel_height
    if gather == "flat":
        return lane_word * window_words(g) + (20 if g.in_channels % 4 else 0)
    return lane_word * window_words(g) + 34 * g.kernel_height
