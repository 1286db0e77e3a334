"""Sparse convolution for the DSP extension: blocks of 2 outputs x 4 inputs, straight from expanded rows.

`conv_s8_dsp_blocks` lays out the window of every pixel anew and brings all of it into columns, wanted or not: in a
window of nine positions an input is copied and expanded nine times. Here the rows that a strip reads are expanded once
(`_dsp_strips`), each word of four inputs to its odd lanes and behind them its even ones, as `_dsp` describes them. The
word of a window's record is then in one place for the first pixel, and a constant distance further for each of the
others, so that the loads reach it themselves. Records, encoding, range and scaling are those of `conv_s8_dsp_blocks`;
only the distance from a word to the next is in bytes of the band.
"""

from __future__ import annotations

import functools

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import Block, block_instructions, block_stream
from edgeprune.kernels._dsp_conv import Cost
from edgeprune.kernels._dsp_sparse_streams import record_counts, record_stream, records_bytes
from edgeprune.kernels._dsp_strips import (
    PIXELS,
    RowStrips,
    cached_groups,
    emit_strips,
    sparse_strips,
    strip_geometry,
    strip_heights,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvBlocksStripsDsp"]

_CODE_BYTES = 900
_CHANNELS = 2
_REACH = 4095
"""What a load reaches from the first pixel's word."""
_LARGEST_STEP = (1 << 30) - 1
"""Bytes from a word to the next, which a record doubles."""
_RECORD_INSTRUCTIONS = 26.5
"""Of a word of two channels, with the branch of every other one; pairs of loads count for one that loads two."""
_GROUP_INSTRUCTIONS, _PAIR_INSTRUCTIONS = 10, 9
"""Of a group and of a pair of channels, beyond what `block_instructions` knows."""
_EXPAND_INSTRUCTIONS, _ROW_INSTRUCTIONS = 7.5, 30
"""Of a word of four inputs, and of a row."""


class ConvBlocksStripsDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, of whole words, that lacks blocks of 2 x 4."""

    name = "conv_s8_dsp_blocks_strips"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_strips(nodes, device)
        if found is None or not _is_reached(found[0]):
            return ()
        g, rows = found
        records = record_counts(rows, _CHANNELS)
        density = min(1.0, int(records.sum()) * 4 * _CHANNELS / rows.size)
        groups = cached_groups(g, _pair_bytes(int(records.max())), device)
        return tuple(
            Candidate(
                self.name,
                f"{self.name}{height}",
                nodes,
                **_costs(_strips(g, height, groups), records, nodes[0], device),
                parameters={"height": height, "groups": groups},
                density=density,
            )
            for height in strip_heights(g)
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        strips = _strips_of(candidate)
        dense = functools.partial(block_stream, wide=False)
        stream = record_stream(candidate.nodes[0], weights, _CHANNELS, 0, dense, _offsets(strips))
        comment = "initial sums, records of weights, multipliers per channel pair"
        return (Constant("stream", "uint32_t", stream, comment),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, strips = candidate.nodes[0], _strips_of(candidate)
        g, prefix, scaling = strips.g, names.prefix, _dsp.Scaling.of(node)
        scale, functions = scaling.functions(prefix)
        values = {"part": "block", "prefix": prefix, "scale": scale, "scaling": scaling, "s": strips}
        values["b"] = Block(PIXELS, 0, g.out_channels, wide=False, grouped=True)
        block = self.render(
            f"{prefix}_strip_block2x4_{strips.pixel_bytes}_{g.out_channels}_{scaling.kind}", values
        )
        image = self.render(
            f"{prefix}_strip_blocks_{strips.pixel_bytes}_{g.out_channels}_{scaling.kind}",
            {"part": "image", "prefix": prefix, "outputs": g.out_channels, "block": block.name},
        )
        fill = self.render(f"{prefix}_fill_expanded", {"part": "fill", "prefix": prefix})
        needed = _dsp.helpers(prefix, ("expand", "portable_smlad", "portable_sxtb16"))
        compute = (*functions, *needed, *([fill] if g.is_padded else []), block, image)
        return emit_strips(node, names, strips, "expanded", 0, self._expand_row(strips, prefix), compute)

    def _expand_row(self, strips: RowStrips, prefix: str) -> Function:
        """The function that expands the inputs of a row that windows reach."""
        g = strips.g
        values = {"part": "row", "prefix": prefix, "g": g, "pixels": _row_pixels(g), "every": _every(g)}
        return self.render(f"{prefix}_expand_row_{_row_pixels(g)}x{g.in_channels}", values)


def _strips_of(candidate: Candidate) -> RowStrips:
    g = strip_geometry(candidate.nodes[0])
    return _strips(g, int(candidate.parameters["height"]), int(candidate.parameters["groups"]))


def _strips(g: ConvGeometry, height: int, groups: int) -> RowStrips:
    pixel = 2 * g.in_channels
    reach = (g.out_width - 1) * g.stride_width // _every(g) + (g.kernel_width - 1) * g.dilation_width + 1
    return RowStrips(g, height, groups, reach * pixel, g.stride_width // _every(g) * pixel)


def _every(g: ConvGeometry) -> int:
    """Windows of one column read every so many of a row's pixels, the others are not expanded."""
    return g.stride_width if g.kernel_width == 1 else 1


def _row_pixels(g: ConvGeometry) -> int:
    """Pixels of a row of input that are expanded."""
    last = (g.out_width - 1) * g.stride_width + (g.kernel_width - 1) * g.dilation_width - g.pad_left
    return min(g.in_width - 1, last) // _every(g) + 1


def _is_reached(g: ConvGeometry) -> bool:
    """Whether words are of one pixel, and loads reach the last pixel of a group."""
    if g.in_channels % 4 or (g.kernel_width == 1 and g.pad_left):
        return False
    s = _strips(g, 1, 1)
    return (PIXELS - 1) * s.pixel_bytes + 4 <= _REACH and s.band_bytes <= _LARGEST_STEP


def _offsets(strips: RowStrips) -> Array:
    """From the start of a window to each of its words, in bytes: int64 [taps / 4]."""
    g = strips.g
    rows = np.arange(g.kernel_height)[:, None, None] * g.dilation_height * strips.row_bytes
    columns = np.arange(g.kernel_width)[:, None] * g.dilation_width * 2 * g.in_channels
    found: Array = (rows + columns + 8 * np.arange(g.in_channels // 4)).reshape(-1)
    return found


def _pair_bytes(records: int) -> int:
    """Of the stream, for a pair of channels with so many records."""
    return records_bytes(np.array([records]), _CHANNELS)


def _costs(strips: RowStrips, records: Array, node: Node, device: Device) -> Cost:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for constants and code."""
    g = strips.g
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    _, rest = block_instructions(Block(PIXELS, 1, g.out_channels, wide=False, grouped=True), kind)
    row = _EXPAND_INSTRUCTIONS * _row_pixels(g) * g.in_channels / 4 + _ROW_INSTRUCTIONS
    instructions = {
        _cost.Kind.MULTIPLY: strips.blocks * _RECORD_INSTRUCTIONS * int(records.sum()),
        _cost.Kind.SCALE: len(records)
        * (strips.blocks * (rest + _GROUP_INSTRUCTIONS) + strips.calls * _PAIR_INSTRUCTIONS),
    }
    constant_bytes = records_bytes(records, _CHANNELS)
    cycles = (
        strips.cycles(device, {_cost.Kind.GATHER: row})
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + strips.read_waits(device, constant_bytes, constant_bytes / len(records))
    )
    return Cost(
        flash_bytes=_CODE_BYTES + constant_bytes,
        cycles=round(cycles),
        scratch_bytes=-(-strips.band_bytes // 8) * 8,
        overlap=(strips.least_distance,),
    )


FAMILY = ConvBlocksStripsDsp()
