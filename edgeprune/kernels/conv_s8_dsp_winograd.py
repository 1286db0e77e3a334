"""3 x 3 convolution with stride 1 for cores with the DSP extension: Winograd's F(2x2, 3x3), exact in integers.

A tile of 2 x 2 outputs costs 16 multiplications for each pair of channels instead of 36 (Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", 2015); `_winograd` has the proof, and the ranges that it holds in.

Inputs enter as stored; the zero point is folded into the initial sum, and padding holds the zero point.

Where flash is slow, blocks of several groups of four tiles are transformed first; then the groups take turns at
each position, whose weights leave flash for the first group and the data cache for the others.

In place. Four padded rows, which is what a row of tiles reads, are widened to halfwords in scratch; two of them
are shared with the next row of tiles. So outputs may overwrite the rows already widened: `least_distance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._winograd import LANES, Tiles, fits, transformed_weights
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "Parts", "WinogradDsp", "channel_heads", "least_distance"]

_FRACTION = 2
"""Bits below the accumulator in a sum."""
_CODE_BYTES = 1200
_GROUPS = (2, 4)
"""Fours of tiles in a block, where weights come from slow flash."""
_PAIR_WORDS = 8
"""Initial sums, multipliers and shifts of a pair of channels, and two unused: a cache line of 32 bytes."""
_ALIGN = 32
"""Of the stream, so that the weights of a position fill as few cache lines as they can."""

_TEMPLATES: Mapping[str, str] = {
    "input": "_dsp_winograd_transforms.j2",
    "output": "_dsp_winograd_transforms.j2",
    "multiply": "_dsp_winograd_products.j2",
    "layer": "conv_s8_dsp_winograd.c.j2",
}
"""Where the parts of a layer are."""


class WinogradDsp(KernelFamily):
    """int8 Conv, 3 x 3, stride 1, one group; input channels a multiple of 4."""

    name = "conv_s8_dsp_winograd"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or not fits(conv_geometry(nodes[0])):
            return ()
        g = conv_geometry(nodes[0])
        all_groups = -(-_tile_count(g) // LANES)
        offered = [1, *(n for n in _GROUPS if n <= all_groups and _stays_cached(g, device))]
        return tuple(self._candidate(nodes, g, Tiles.of(g, groups), device) for groups in offered)

    def _candidate(self, nodes: tuple[Node, ...], g: ConvGeometry, t: Tiles, device: Device) -> Candidate:
        pairs = -(-g.out_channels // 2)
        return Candidate(
            self.name,
            self.name if t.groups == 1 else f"{self.name}_groups{t.groups}",
            nodes,
            flash_bytes=_CODE_BYTES + 4 * pairs * (_PAIR_WORDS + 32 * t.steps),
            cycles=_cycles(g, t, device),
            scratch_bytes=t.scratch_bytes,
            overlap=(least_distance(g, t),),
            parameters={"groups": t.groups},
            expands_weights=True,
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        stream = _stream(weights[w.name], weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        comment = "initial sums, multipliers, shifts, transformed weights per channel pair"
        return (Constant("stream", "uint32_t", stream, comment, align=_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, scaling, prefix = conv_geometry(node), _dsp.Scaling.of(node), names.prefix
        tiles = Tiles.of(g, int(candidate.parameters["groups"]))
        parts = Parts.of(g, tiles, scaling, prefix)
        layer = parts.render("layer", f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}")
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        scratch = f"({prefix}_u32_t *)(void *){names.scratch}"
        zero = f"{node.inputs[0].zero_point}, "
        call = f"{layer.name}({x}, {names.constants['stream']}, {y}, {scratch}, {zero}{scaling.arguments});"
        return Code((*parts.functions, layer), call)


@dataclass(frozen=True)
class Parts:
    """The functions that a layer calls, after what they need; and what the template sees besides."""

    functions: tuple[Function, ...]
    values: Mapping[str, object]

    @staticmethod
    def of(
        g: ConvGeometry,
        tiles: Tiles,
        scaling: _dsp.Scaling,
        prefix: str,
        *,
        bursts: bool = False,
        by_rows: bool = False,
    ) -> Parts:
        """The transforms and the multiplication of `tiles` of geometry `g`.

        With `bursts` four words of a step are loaded one by one, in a row: two instructions more than loads of two
        words, and a cycle less where a load behind another takes one. `by_rows` the layer has a transform of its own,
        and tells the other functions how many rows of outputs there are.
        """
        scale, scales = scaling.functions(prefix, _FRACTION)
        values = {
            "prefix": prefix,
            "g": g,
            "t": tiles,
            "head": _PAIR_WORDS,
            "scale": scale,
            "scaling": scaling,
            "bursts": bursts,
            "by_rows": by_rows,
        }
        bare = Parts((), values)
        form = "groups_" if tiles.groups > 1 else "bursts_" if bursts else ""
        height = "rows_of_" if by_rows else f"{g.out_height}x"
        functions = {
            "multiply": bare.render("multiply", f"multiply_{form}{g.in_channels}"),
            "store": bare.render("output", f"output_{height}{g.out_width}x{g.out_channels}_{scaling.suffix}"),
        }
        helpers = _dsp.helpers(prefix, ("sadd16", "ssub16", "keep", "portable_smlad"))
        if not by_rows:
            helpers += _dsp.helpers(prefix, ("widen",))
            functions["transform"] = bare.render("input", f"input_{g.in_channels}x{2 * tiles.columns + 2}")
        called = {kind: function.name for kind, function in functions.items()}
        return Parts((*scales, *helpers, *functions.values()), {**values, **called})

    def render(self, part: str, name: str) -> Function:
        """The `part` of the templates as a function whose name ends with `name`."""
        name = f"{self.values['prefix']}_winograd_{name}"
        values = {"part": part, "name": name, **self.values}
        return Function(name, render(f"kernels/{_TEMPLATES[part]}", values))


def _stream(w: Array, b: Array, zero_x: int, scaling: _dsp.Scaling) -> Array:
    """What the kernel reads, pair after pair of output channels: uint32.

    An odd last channel pairs with the one before it, a single channel with itself. Of every four input channels
    the halfwords hold 0 and 2, then 1 and 3, as SXTB16 unpacks them.
    """
    out, _, _, channels = w.shape
    u = transformed_weights(w).reshape(out, 16, channels // 4, 2, 2).swapaxes(-1, -2)
    words = (u[..., 0] & 0xFFFF) | ((u[..., 1] & 0xFFFF) << 16)
    words = words.reshape(out, 16 * channels // 2)
    heads = channel_heads(w, b, zero_x, scaling)
    unused = np.zeros(_PAIR_WORDS - 6, np.int64)
    parts = []
    for first in range(0, out, 2):
        start = max(min(first, out - 2), 0)
        pair = [start, min(start + 1, out - 1)]
        parts += [heads[pair].ravel(), unused, words[pair].T.ravel()]
    stream: Array = (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)
    return stream


def channel_heads(w: Array, b: Array, zero_x: int, scaling: _dsp.Scaling) -> Array:
    """Initial sum, multiplier and shift of each output channel, for the part `output`: int64 [out, 3]."""
    initial = (b.astype(np.int64) - zero_x * w.astype(np.int64).sum(axis=(1, 2, 3))) << _FRACTION
    shifts = scaling.shifts if scaling.kind == "general" else -scaling.shifts
    heads: Array = np.stack([initial, scaling.multipliers.astype(np.int64), shifts.astype(np.int64)], axis=1)
    return heads


def least_distance(g: ConvGeometry, t: Tiles) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    Before any tile of row r is stored, padded rows up to 2 r + 3 were widened; stored are output rows up to
    2 r + 1.
    """
    row = np.arange(t.rows)
    unread = np.clip(2 * row + 4 - g.pad_top, 0, g.in_height)
    stored = np.minimum(2 * row + 2, g.out_height) * g.out_width * g.out_channels
    reach = (stored - unread * g.in_width * g.in_channels)[unread < g.in_height]
    return max(0, int(reach.max(initial=0)))


def _tile_count(g: ConvGeometry) -> int:
    return -(-g.out_width // 2) * -(-g.out_height // 2)


def _stays_cached(g: ConvGeometry, device: Device) -> bool:
    """Whether flash is slow, and its data cache holds the weights of a position and a pair of channels."""
    flash = device.flash
    if flash is None or not flash.wait_states:
        return False
    lines, rest = divmod(4 * g.in_channels, flash.line_bytes)
    return lines + (2 if rest else 0) <= flash.data_lines


def _multiply_instructions(t: Tiles) -> float:
    """Of four tiles with a pair of channels, to the outputs; counted in the code generated for Cortex-M4."""
    if t.groups > 1:
        return 16 * (13 + 11.375 * t.steps) + 8 * 70 + 20
    return 16 * (10 + 11.3 * t.steps) + 8 * 67 + 60


def _cycles(g: ConvGeometry, t: Tiles, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for weights and code."""
    pairs = -(-g.out_channels // 2)
    tiles = t.rows * t.columns
    groups, blocks = -(-tiles // LANES), -(-tiles // t.lanes)
    group = pairs * _multiply_instructions(t)
    rows = 2 * t.rows * (8 * t.row_words / 2 + 30)
    instructions = {
        _cost.Kind.MULTIPLY: groups * group,
        _cost.Kind.GATHER: rows + tiles * (70 * t.steps + 25),
    }
    words = pairs * (_PAIR_WORDS + 32 * t.steps)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, 4 * words, loads=groups * words, passes=blocks)
    )


FAMILY = WinogradDsp()
