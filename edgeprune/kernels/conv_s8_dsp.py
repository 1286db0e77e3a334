"""Convolution for cores with the DSP extension: blocks of 4 or 3 output pixels by 2 output channels.

Four pixels' windows are gathered, expanded to halfwords (see `_dsp`) and multiplied with all channels, two at a
time, before any of the block's outputs is stored; a pointwise convolution is the case without a gather. Every
number of pixels but 1, 2 and 5 is a sum of threes and fours: up to three blocks of 3 come first. Blocks are scaled in
registers (`_dsp_block`), with weights in a byte each or, for short windows, wide. A layer of one channel, with a
clamp or with a left shift takes blocks of 4 only, whose last one computes unused lanes from stale columns and stores
only the pixels that exist, so that no input is read again.

Because a block is gathered before it is stored, output may overtake input already gathered: `_least_distance`
compares, after every block, the end of the stored output with the first input byte still to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import (
    LARGEST_OUTPUTS,
    LARGEST_WORDS,
    Block,
    block_instructions,
    block_stream,
    fused_block,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["BLOCK", "FAMILY", "Combine", "ConvDsp", "Form", "cost", "emit_blocks", "form_of", "pack_blocks"]

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


class ConvDsp(KernelFamily):
    """int8 Conv with one group."""

    name = "conv_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        return tuple(
            Candidate(
                self.name,
                f"{self.name}{form.suffix}",
                nodes,
                **cost(nodes[0], g, device, form),
                parameters={"groups": form.groups, "wide": int(form.wide)},
            )
            for form in _forms(g, nodes[0], device)
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        if form_of(candidate).wide:
            return _dsp.is_within_range(node, w, b) and _dsp.Scaling.of(node).is_short
        return _dsp.is_exact(node, w, b)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        return pack_blocks(node, conv_geometry(node), rows, weights[node.inputs[2].name], form_of(candidate))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        return emit_blocks(node, conv_geometry(node), names, form_of(candidate))


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
        overlap=(_least_distance(g, form.groups),),
    )


def pack_blocks(
    node: Node, g: ConvGeometry, rows: Array, b: Array, form: Form = Form()
) -> tuple[Constant, ...]:
    """The constant that `emit_blocks` reads, for weights `rows` [out, K] and bias `b`."""
    zero_x, scaling = node.inputs[0].zero_point, _dsp.Scaling.of(node)
    if _is_fused(g, scaling):
        stream = block_stream(rows, b, zero_x, scaling, wide=form.wide)
    else:
        stream = _dsp.pair_stream(rows, b, zero_x, scaling)
    return (Constant("stream", "uint32_t", stream, "initial sums, weights, multipliers per channel pair"),)


@dataclass(frozen=True)
class Combine:
    """What becomes of blocks: their outputs, in `rows` (C expressions all), are combined with `shortcut`'s.

    The function `name`, the last of `functions`, is called with `operands`, which are rows and shortcut in the order of
    the operator's, where the result goes, the number of elements, and `passed`, which `parameters` declare and
    `arguments` give.
    """

    name: str
    functions: tuple[Function, ...]
    operands: str
    shortcut: str
    rows: str
    parameters: str
    passed: str
    arguments: str


@dataclass(frozen=True)
class Run:
    """`count` times `block`, the function that computes it and the one that expands its inputs."""

    count: int
    function: str
    expand: str
    block: Block


def emit_blocks(
    node: Node,
    g: ConvGeometry,
    names: LayerNames,
    form: Form = Form(),
    output: str = "",
    combine: Combine | None = None,
) -> Code:
    """The C of `node`, with inputs x, w, b, as a convolution of geometry `g` whose constant is "stream".

    Its own output, or that of `combine`, goes to the tensor `output`, the node's own by default.
    """
    scaling, gather, prefix = _dsp.Scaling.of(node), _gather(g), names.prefix
    runs, general, functions = _block_functions(g, scaling, prefix, form)
    parts = ["fill"] if gather == "words" and g.is_padded else []
    if general or gather == "words":
        parts.append("expand")
    patches, patches_functions = _dsp.expand_lanes(prefix, BLOCK, 4 * _words(g), wide=form.wide)
    if gather == "bytes" and not general:
        functions = (*functions, *patches_functions)
    stem = (
        f"{prefix}_conv{'_add' if combine else ''}_{g.kernel_height}x{g.kernel_width}_"
        f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    values = {
        "name": stem,
        "prefix": prefix,
        "g": g,
        "gather": gather,
        "words": _words(g),
        "general": general,
        "runs": runs,
        "patches_expand": patches,
        "groups": 1 if general else form.groups,
        "wide": form.wide,
        "scaling": scaling,
        "padded_height": _leaves_height(g),
        "padded_width": _leaves_width(g),
        "inside_rows": _inside_rows(g),
        "combine": combine,
    }
    layer = Function(stem, render("kernels/conv_s8_dsp.c.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[output or node.output.name]
    columns = f"({prefix}_u32_t *)(void *){names.scratch}"
    zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    arguments = f"{x}, {names.constants['stream']}, {y}, {columns}, {zero}{scaling.arguments}"
    if combine is not None:
        arguments += f", {combine.shortcut}, {combine.rows}, {combine.arguments}"
        functions = (*functions, *combine.functions)
    return Code((*functions, *_dsp.helpers(prefix, parts), layer), f"{stem}({arguments});")


def form_of(candidate: Candidate) -> Form:
    """The form that a candidate of this file's parameters asks for."""
    return Form(int(candidate.parameters["groups"]), bool(candidate.parameters["wide"]))


def _forms(g: ConvGeometry, node: Node, device: Device) -> tuple[Form, ...]:
    """The forms worth offering: wide ones for short windows, groups where they spare slow flash."""
    fused = _is_tiled(g) and node.ints("clamp") == (-128, 127)
    wide = fused and _words(g) <= _WIDE_WORDS and _gather(g) != "words"
    forms = [Form(), *([Form(wide=True)] if wide else [])]
    cached = [form for form in forms if fused and _stays_cached(g, form, device)]
    return (*forms, *(Form(_GROUPS, form.wide) for form in cached))


def _is_fused(g: ConvGeometry, scaling: _dsp.Scaling) -> bool:
    """Whether blocks are scaled in registers."""
    return _is_tiled(g) and scaling.is_short


def _block_functions(
    g: ConvGeometry, scaling: _dsp.Scaling, prefix: str, form: Form
) -> tuple[tuple[Run, ...], str, tuple[Function, ...]]:
    """Runs of blocks; or no runs and the function for blocks of any size up to 4; and the functions they need."""
    if not _is_fused(g, scaling):
        name, functions = _dsp.block_functions(prefix, scaling)
        return (), name, functions
    runs, found = [], []
    for pixels, count in _run_sizes(_pixels(g)):
        block = _block(g, form, pixels)
        name, functions = fused_block(prefix, scaling, block)
        expand, expands = _dsp.expand_lanes(prefix, pixels, g.in_channels, wide=form.wide, lanes=block.lanes)
        found += [*functions, *(expands if _gather(g) == "flat" else ())]
        runs.append(Run(count, name, expand, block))
    return tuple(runs), "", tuple(found)


def _block(g: ConvGeometry, form: Form, pixels: int = BLOCK) -> Block:
    lanes = 3 if pixels == 3 and _gather(g) == "flat" else BLOCK
    return Block(pixels, _words(g), g.out_channels, form.wide, form.groups > 1, lanes)


def _run_sizes(pixels: int) -> tuple[tuple[int, int], ...]:
    """Blocks that tile `pixels`, as (size, count): threes first, then fours."""
    if pixels <= BLOCK:
        return ((pixels, 1),)
    if pixels == 5:
        return ((3, 1), (2, 1))
    threes = -pixels % BLOCK
    runs = ((3, threes), (BLOCK, (pixels - 3 * threes) // BLOCK))
    return tuple(run for run in runs if run[1])


def _pixels(g: ConvGeometry) -> int:
    return g.batch * g.out_height * g.out_width


def _is_tiled(g: ConvGeometry) -> bool:
    """Whether the functions for blocks of fixed size reach all channels and words, and there are two channels."""
    return 1 < g.out_channels <= LARGEST_OUTPUTS and _words(g) <= LARGEST_WORDS


def _stream_bytes(g: ConvGeometry, form: Form) -> int:
    if form.wide:
        return -(-g.out_channels // 2) * 4 * _block(g, form).pair_words
    return _dsp.stream_bytes(g.out_channels, g.taps)


def _words(g: ConvGeometry) -> int:
    """Words of four inputs in one window."""
    return -(-g.taps // 4)


def _gather(g: ConvGeometry) -> str:
    """How windows become columns.

    "flat": pixels are the input's own, one after the other; "words": straight from rows of whole words;
    "bytes": through a byte buffer, for any geometry.
    """
    if (
        g.taps == g.in_channels
        and not g.is_padded
        and (g.out_height, g.out_width) == (g.in_height, g.in_width)
    ):
        return "flat"
    width = (g.kernel_width - 1) * g.dilation_width + 1
    overhang = (g.out_width - 1) * g.stride_width - g.pad_left - g.in_width
    window_touches_image = g.pad_left <= width - 1 and overhang < 0 and g.kernel_width <= g.in_width
    return "words" if g.in_channels % 4 == 0 and window_touches_image else "bytes"


def _leaves_height(g: ConvGeometry) -> bool:
    last = (g.out_height - 1) * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
    return g.pad_top > 0 or last >= g.in_height


def _leaves_width(g: ConvGeometry) -> bool:
    last = (g.out_width - 1) * g.stride_width - g.pad_left + (g.kernel_width - 1) * g.dilation_width
    return g.pad_left > 0 or last >= g.in_width


def _inside_rows(g: ConvGeometry) -> str:
    """The C condition that a kernel row lies inside the image, for the "bytes" gather."""
    conditions = []
    if _leaves_height(g):
        conditions += ["iy >= 0", f"iy < {g.in_height}"]
    if _leaves_width(g):
        conditions += ["ix >= 0", f"ix <= {g.in_width - g.kernel_width}"]
    return " && ".join(conditions)


def _stays_cached(g: ConvGeometry, form: Form, device: Device) -> bool:
    """Whether flash is slow, and its data cache holds the weights of a pair of channels, wherever they start."""
    flash = device.flash
    if flash is None or not flash.wait_states or _pixels(g) <= 5:
        return False
    return -(-4 * _block(g, form).pair_words // flash.line_bytes) + 1 <= flash.data_lines


def _scratch_bytes(g: ConvGeometry, groups: int) -> int:
    """Expanded columns of blocks, and windows of bytes where they go through such; a multiple of 8."""
    buffer = BLOCK * 4 * _words(g) if _gather(g) == "bytes" else 0
    return -(-(2 * BLOCK * 4 * _words(g) * groups + buffer) // 8) * 8


def _least_distance(g: ConvGeometry, groups: int) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten."""
    oy, ox = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    iy = np.maximum(oy * g.stride_height - g.pad_top, 0)
    ix = np.maximum(ox * g.stride_width - g.pad_left, 0)
    pixel = np.minimum(iy * g.in_width + ix, g.in_height * g.in_width)
    image = g.in_height * g.in_width
    first = np.concatenate([pixel + n * image for n in range(g.batch)]) * g.in_channels
    unread = np.minimum.accumulate(first[::-1])[::-1]
    ends = _block_ends(len(first), groups, _is_tiled(g))
    return max(0, int((ends * g.out_channels - unread[ends]).max(initial=0)))


def _block_ends(pixels: int, groups: int, tiled: bool) -> Array:
    """Pixels stored whenever more are to be read, however the layer's scaling makes blocks: int [any].

    Where blocks of fixed size tile the pixels, a clamp or a left shift calls for blocks of 4 only all the same.
    """
    ends, at = set(range(BLOCK, pixels, BLOCK)), 0
    for size, count in _run_sizes(pixels) if tiled else ():
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
    pixels, pairs, words = _pixels(g), -(-g.out_channels // 2), _words(g)
    low, high = node.ints("clamp")
    if _is_tiled(g) and (low, high) == (-128, 127):
        kind = "positive" if node.output.zero_point <= low else "fast"
        runs = _run_sizes(pixels)
    else:
        kind, runs = "", ((BLOCK, -(-pixels // BLOCK)),)
    multiply = scale = 0.0
    for size, count in runs:
        sums, rest = block_instructions(_block(g, form, size), kind) if kind else (24.5 * words, 115)
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
    gather = _gather(g)
    if gather == "words" or not fused:
        return (9.4 if gather != "bytes" else 11.8) * _words(g) + 31 * g.kernel_height
    if gather == "flat":
        return lane_word * _words(g) + (20 if g.in_channels % 4 else 0)
    return lane_word * _words(g) + 34 * g.kernel_height


FAMILY = ConvDsp()
