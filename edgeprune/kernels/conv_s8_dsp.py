"""Convolution for cores with the DSP extension: blocks of 4 or 3 output pixels by 2 output channels.

Four pixels' windows are gathered, expanded to halfwords (see `_dsp`) and multiplied with all channels, two at a
time, before any of the block's outputs is stored; a pointwise convolution is the case without a gather. Every
number of pixels but 1, 2 and 5 is a sum of threes and fours: up to three blocks of 3 come first. A layer of 1, 2
or 5 pixels, with a clamp or with a left shift takes blocks of 4 only, whose last one computes unused lanes from
stale columns and stores only the pixels that exist, so that no input is read again.

Because a block is gathered before it is stored, output may overtake input already gathered: `_least_distance`
compares, after every block, the end of the stored output with the first input byte still to be read.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "ConvDsp", "cost", "emit_blocks"]

_BLOCK = 4
_GROUPS = 4
"""Blocks at a time where weights come from slow flash."""
_CODE_BYTES = 400
"""Of a layer's own function, about; helpers are shared by all layers."""


class ConvDsp(KernelFamily):
    """int8 Conv with one group."""

    name = "conv_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        offered = (1, _GROUPS) if _stays_cached(g, nodes[0], device) else (1,)
        return tuple(
            Candidate(
                self.name,
                self.name if groups == 1 else f"{self.name}_groups{groups}",
                nodes,
                **cost(nodes[0], g, device, groups),
                parameters={"groups": groups},
            )
            for groups in offered
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        rows = weights[w.name].reshape(w.shape[0], -1)
        stream = _dsp.pair_stream(rows, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        return (
            Constant("stream", "uint32_t", stream, "initial sums, weights, multipliers per channel pair"),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        return emit_blocks(node, conv_geometry(node), names, int(candidate.parameters["groups"]))


class Cost(TypedDict):
    """The costs of a Candidate."""

    flash_bytes: int
    cycles: int
    scratch_bytes: int
    overlap: tuple[int | None, ...]


def cost(node: Node, g: ConvGeometry, device: Device, groups: int = 1) -> Cost:
    """What `node` costs as a convolution of geometry `g`, `groups` blocks at a time."""
    return Cost(
        flash_bytes=_CODE_BYTES + _dsp.stream_bytes(g.out_channels, g.taps),
        cycles=_cycles(g, node, device, groups),
        scratch_bytes=_scratch_bytes(g, groups),
        overlap=(_least_distance(g, groups),),
    )


def emit_blocks(node: Node, g: ConvGeometry, names: LayerNames, groups: int = 1) -> Code:
    """The C of `node`, with inputs x, w, b, as a convolution of geometry `g` whose constant is "stream"."""
    scaling, gather = _dsp.Scaling.of(node), _gather(g)
    blocks, functions = _block_functions(g, scaling, names.prefix, groups)
    parts = ("fill", "expand") if gather == "words" and g.is_padded else ("expand",)
    stem = (
        f"{names.prefix}_conv_{g.kernel_height}x{g.kernel_width}_"
        f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    values = {
        "name": stem,
        "prefix": names.prefix,
        "g": g,
        "gather": gather,
        "words": _words(g),
        "blocks": blocks,
        "groups": 1 if 0 in blocks else groups,
        "scaling": scaling,
        "padded_height": _leaves_height(g),
        "padded_width": _leaves_width(g),
        "inside_rows": _inside_rows(g),
    }
    layer = Function(stem, render("kernels/conv_s8_dsp.c.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    columns = f"({names.prefix}_u32_t *)(void *){names.scratch}"
    zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    body = f"{stem}({x}, {names.constants['stream']}, {y}, {columns}, {zero}{scaling.arguments});"
    return Code((*functions, *_dsp.helpers(names.prefix, parts), layer), body)


def _block_functions(
    g: ConvGeometry, scaling: _dsp.Scaling, prefix: str, groups: int
) -> tuple[dict[int, str], tuple[Function, ...]]:
    """The functions that compute blocks, by their pixels, and all they need.

    With 0 pixels the one function that takes any number up to 4 is meant.
    """
    if not (_is_tiled(g) and scaling.is_short):
        name, functions = _dsp.block_functions(prefix, scaling)
        return {0: name}, functions
    sizes = (4, 3) if _pixels(g) % _BLOCK else (4,)
    made = {size: _dsp.fused_block(prefix, scaling, size, groups > 1) for size in sizes}
    functions = tuple(function for _, needed in made.values() for function in needed)
    return {size: name for size, (name, _) in made.items()}, functions


def _pixels(g: ConvGeometry) -> int:
    return g.batch * g.out_height * g.out_width


def _is_tiled(g: ConvGeometry) -> bool:
    """Whether blocks of 4 and 3 pixels can cover the output, and there are two channels."""
    return _pixels(g) not in (1, 2, 5) and g.out_channels > 1


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


def _stays_cached(g: ConvGeometry, node: Node, device: Device) -> bool:
    """Whether flash is slow, and its data cache holds the weights of a pair of channels, wherever they start."""
    flash = device.flash
    if flash is None or not flash.wait_states or node.ints("clamp") != (-128, 127):
        return False
    lines = -(-(8 * _words(g) + 16) // flash.line_bytes) + 1
    return _is_tiled(g) and _pixels(g) > _BLOCK and lines <= flash.data_lines


def _scratch_bytes(g: ConvGeometry, groups: int) -> int:
    """Expanded columns of blocks, and the byte buffer where windows go through one; a multiple of 8."""
    buffer = 4 * _words(g) if _gather(g) == "bytes" else 0
    return -(-(2 * _BLOCK * 4 * _words(g) * groups + buffer) // 8) * 8


def _least_distance(g: ConvGeometry, groups: int) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten."""
    oy, ox = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    iy = np.maximum(oy * g.stride_height - g.pad_top, 0)
    ix = np.maximum(ox * g.stride_width - g.pad_left, 0)
    pixel = np.minimum(iy * g.in_width + ix, g.in_height * g.in_width)
    image = g.in_height * g.in_width
    first = np.concatenate([pixel + n * image for n in range(g.batch)]) * g.in_channels
    unread = np.minimum.accumulate(first[::-1])[::-1]
    ends = _block_ends(len(first), groups if _is_tiled(g) else 1, _is_tiled(g))
    return max(0, int((ends * g.out_channels - unread[ends]).max(initial=0)))


def _block_ends(pixels: int, groups: int, tiled: bool) -> Array:
    """Pixels stored whenever more are to be read, however the layer's scaling makes blocks: int [any].

    Where blocks of 4 and 3 tile the pixels, a clamp or a left shift calls for blocks of 4 only all the same.
    """
    ends = set(range(_BLOCK, pixels, _BLOCK))
    if tiled:
        threes = -pixels % _BLOCK
        ends |= {3 * n for n in range(1, threes + 1)}
        ends |= set(range(3 * threes, pixels, _BLOCK * groups)) - {0}
    return np.array(sorted(end for end in ends if end < pixels), np.int64)


def _cycles(g: ConvGeometry, node: Node, device: Device, groups: int) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for weights and code.

    The instructions were fitted to within 5 % of counts.

    A block costs 27, and for each pair of channels 75 (16 more where negative sums need their own rounding, 115
    where outputs are scaled outside registers) plus 24.5 for each word of a window; gathering a pixel costs 31 for
    each kernel row and 9.4 for each word, 11.8 through the byte buffer.
    """
    pixels, pairs = _pixels(g), -(-g.out_channels // 2)
    low, high = node.ints("clamp")
    fused = _is_tiled(g) and (low, high) == (-128, 127)
    scaling = (75 if node.output.zero_point <= low else 91) if fused else 115
    threes = -pixels % _BLOCK if fused else 0
    blocks = -(-(pixels - 3 * threes) // _BLOCK) + 0.8 * threes
    per_pixel = (11.8 if _gather(g) == "bytes" else 9.4) * _words(g) + 31 * g.kernel_height
    instructions = {
        _cost.Kind.MULTIPLY: blocks * pairs * 24.5 * _words(g),
        _cost.Kind.SCALE: blocks * pairs * (scaling + (8 if groups > 1 else 0)),
        _cost.Kind.GATHER: blocks * 27 + pixels * per_pixel,
    }
    stream = _dsp.stream_bytes(g.out_channels, g.taps)
    passes = -(-round(blocks) // groups)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, stream, loads=blocks * stream / 4, passes=passes)
    )


FAMILY = ConvDsp()
