"""Sparse convolution for the DSP extension: of each window only the inputs that weights are left for are picked.

As in `conv_s8_dsp_gathered`, a block of output channels shares its inputs, and the dense kernel's loop runs over those
alone. Here no window is copied: the rows that a strip of outputs reads are split into planes once (`_dsp_strips`), in
which the pixels of a channel lie side by side, with a stride every so many of them. An input of 4 pixels is then one
load, as many bytes from the window's start for every pixel of a row, so that one table of places serves all windows.

Such a load is seldom aligned, which the cores with the DSP extension allow for single words.

What the sums start from, their range and their scaling are those of `_dsp`: an input with weight zero adds nothing to
either, whichever form it has.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import Block, block_instructions, block_stream
from edgeprune.kernels._dsp_gathered import gather_function, gathered_block
from edgeprune.kernels._dsp_sparse_streams import gathered_bytes, gathered_constants
from edgeprune.kernels._dsp_strips import (
    PIXELS,
    RowStrips,
    cached_groups,
    emit_strips,
    sparse_strips,
    strip_geometry,
    strip_heights,
)
from edgeprune.kernels._sparsity import (
    LARGEST_INPUTS,
    OutputBlock,
    block_ranges,
    block_sizes,
    fastest_and_smallest,
    gathered_density,
    gathered_words,
    output_blocks,
    place_bytes,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvPickedDsp"]

_CHANNELS = 2
_CODE_BYTES = 1200
"""Of the layer's own function and those that layers share."""
_PICK_INSTRUCTIONS = 30
"""Of a word of four inputs of 4 pixels; 27, and what loads take that are not aligned."""
_BLOCK_INSTRUCTIONS = 25
"""Of headers and calls, for a block of channels of a group."""
_GROUP_INSTRUCTIONS, _PAIR_INSTRUCTIONS = 8, 9
"""Of a group and of a pair of channels, beyond what `block_instructions` knows."""
_SPLIT_INSTRUCTIONS, _LINE_INSTRUCTIONS = 29 / 16, 20
"""Of an input of a row, and of the planes of four channels of a row."""


class ConvPickedDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose blocks of outputs lack inputs."""

    name = "conv_s8_dsp_picked"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_strips(nodes, device)
        if found is None or not _is_reached(found[0]):
            return ()
        g, rows = found
        blocks = {
            size: output_blocks(rows, size, _CHANNELS) for size in block_sizes(g.out_channels, _CHANNELS)
        }
        small = fastest_and_smallest(self._candidates(nodes[0], g, rows, blocks, device, large=False))
        large = fastest_and_smallest(self._candidates(nodes[0], g, rows, blocks, device, large=True))
        names = {candidate.name for candidate in small}
        return (*small, *(candidate for candidate in large if candidate.name not in names))

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        dense = functools.partial(block_stream, wide=False)
        comment = "blocks of outputs: size, then their pairs"
        stream, inputs = gathered_constants(node, weights, _size(candidate), _CHANNELS, dense, comment)
        places = _offsets(_strips_of(candidate))[inputs.values]
        return stream, Constant("places", "uint16_t", places, "inputs of each block, in bytes")

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix, strips = candidate.nodes[0], names.prefix, _strips_of(candidate)
        g, size = strips.g, _size(candidate)
        functions = self._compute(g, prefix, _dsp.Scaling.of(node), size)
        line, split = self._split(strips, prefix)
        columns = _column_words(g, strips.groups)
        return emit_strips(node, names, strips, "planes", columns, split, (line, *functions))

    def _split(self, strips: RowStrips, prefix: str) -> tuple[Function, Function]:
        """The functions that bring pixels of a line, and all that windows reach of a row, into planes."""
        g = strips.g
        step, plane = g.stride_width * g.in_channels, len(_lines(g)) * _line_bytes(g)
        line = self.render(
            f"{prefix}_split_line_{step}_{plane}x{g.in_channels}",
            {"part": "line", "prefix": prefix, "g": g, "step": step, "plane": plane},
        )
        values = {"part": "split", "prefix": prefix, "g": g, "line": line.name, "lines": _lines(g)}
        split = self.render(f"{prefix}_split_row_{g.in_width}x{g.in_channels}", values)
        return line, split

    def _candidates(
        self,
        node: Node,
        g: ConvGeometry,
        rows: Array,
        found: dict[int, tuple[OutputBlock, ...]],
        device: Device,
        *,
        large: bool,
    ) -> Iterator[Candidate]:
        """One for each size of blocks, in little memory or, `large`, in little time."""
        height = strip_heights(g)[-1 if large else 0]
        for size, blocks in found.items():
            longest = max(gathered_words(kept) for *_, kept in blocks)
            groups = cached_groups(g, 8 * longest + 16, device) if large else 1
            strips = _strips(g, height, groups)
            yield Candidate(
                self.name,
                f"{self.name}{height}_{size}" + (f"_groups{groups}" if groups > 1 else ""),
                (node,),
                flash_bytes=_CODE_BYTES + _constant_bytes(blocks),
                cycles=_cycles(strips, blocks, node, device),
                scratch_bytes=-(-(4 * _column_words(g, groups) + strips.band_bytes) // 8) * 8,
                overlap=(strips.least_distance,),
                parameters={"block": size, "height": height, "groups": groups},
                density=gathered_density(rows, blocks),
            )

    def _compute(
        self, g: ConvGeometry, prefix: str, scaling: _dsp.Scaling, size: int
    ) -> tuple[Function, ...]:
        """The function that computes all channels of groups of pixels, last, and those it needs."""
        pick = gather_function(prefix, "window")
        block = gathered_block(prefix, g.out_channels, scaling, grouped=True)
        values = {
            "part": "blocks",
            "prefix": prefix,
            "blocks": len(block_ranges(g.out_channels, size, _CHANNELS)),
            "pick": pick[-1].name,
            "block": block[-1].name,
        }
        blocks = self.render(f"{prefix}_picked{size}_{g.out_channels}_{scaling.kind}", values)
        return (*pick, *block, blocks)


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _strips_of(candidate: Candidate) -> RowStrips:
    g = strip_geometry(candidate.nodes[0])
    return _strips(g, int(candidate.parameters["height"]), int(candidate.parameters["groups"]))


def _strips(g: ConvGeometry, height: int, groups: int) -> RowStrips:
    return RowStrips(g, height, groups, len(_lines(g)) * _line_bytes(g) * g.in_channels, 1)


def _lines(g: ConvGeometry) -> tuple[tuple[int, int, int], ...]:
    """The lines of a channel that windows read: of each its first pixel, where that lies, and the number of pixels.

    Line i holds the pixels that some column of the window reads: those of one remainder by the stride, padding counted.
    """
    found = []
    for number, remainder in enumerate(_remainders(g)):
        first = (remainder - g.pad_left) % g.stride_width
        place = _lead(g) + (first + g.pad_left) // g.stride_width
        pixels = min(-(-(g.in_width - first) // g.stride_width), _line_bytes(g) - place)
        found.append((first, number * _line_bytes(g) + place, max(0, pixels)))
    return tuple(found)


def _remainders(g: ConvGeometry) -> tuple[int, ...]:
    """By the stride, of the columns of a window."""
    columns = np.arange(g.kernel_width) * g.dilation_width
    return tuple(int(one) for one in np.unique(columns % g.stride_width))


def _lead(g: ConvGeometry) -> int:
    """Bytes before a line, so that stores of whole words are aligned, where padding allows that for all lines."""
    return -(g.pad_left // g.stride_width) % 4


def _line_bytes(g: ConvGeometry) -> int:
    """Of the pixels of a channel with one remainder, with padding, as far as windows reach; whole words."""
    reach = g.out_width + (g.kernel_width - 1) * g.dilation_width // g.stride_width
    return -(-(_lead(g) + reach) // 4) * 4


def _is_reached(g: ConvGeometry) -> bool:
    """Whether places have the bits to reach a window's last input."""
    return _strips(g, 1, 1).band_bytes <= LARGEST_INPUTS


def _offsets(strips: RowStrips) -> Array:
    """From the start of a window to each of its inputs, in bytes: uint16 [taps]."""
    g, line = strips.g, _line_bytes(strips.g)
    rows = np.arange(g.kernel_height)[:, None, None] * g.dilation_height * strips.row_bytes
    columns = np.arange(g.kernel_width)[:, None] * g.dilation_width
    numbers = np.searchsorted(_remainders(g), columns % g.stride_width)
    channels = np.arange(g.in_channels) * len(_lines(g))
    places = rows + (channels + numbers) * line + columns // g.stride_width + _lead(g)
    found: Array = places.reshape(-1).astype(np.uint16)
    return found


def _column_words(g: ConvGeometry, groups: int) -> int:
    """Of as many inputs as a block may keep, for every group."""
    return 8 * -(-g.taps // 4) * groups


def _constant_bytes(blocks: tuple[OutputBlock, ...]) -> int:
    return gathered_bytes(blocks) + place_bytes(LARGEST_INPUTS, blocks)


def _cycles(strips: RowStrips, blocks: tuple[OutputBlock, ...], node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for constants and code."""
    g = strips.g
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    multiply = scale = pick = pairs = 0.0
    for first, end, kept in blocks:
        own, words = (end - first) // _CHANNELS, gathered_words(kept)
        sums, rest = block_instructions(Block(PIXELS, words, g.out_channels, False, True), kind)
        multiply, scale, pairs = (
            multiply + own * sums,
            scale + own * (rest + _GROUP_INSTRUCTIONS),
            pairs + own,
        )
        pick += _PICK_INSTRUCTIONS * words + _BLOCK_INSTRUCTIONS
    inputs = sum(pixels for *_, pixels in _lines(g)) * g.in_channels
    row = _SPLIT_INSTRUCTIONS * inputs + _LINE_INSTRUCTIONS * len(_lines(g)) * -(-g.in_channels // 4)
    instructions = {
        _cost.Kind.MULTIPLY: strips.blocks * multiply,
        _cost.Kind.SCALE: strips.blocks * scale + strips.calls * pairs * _PAIR_INSTRUCTIONS,
        _cost.Kind.GATHER: strips.blocks * pick,
    }
    size = _constant_bytes(blocks)
    return round(
        strips.cycles(device, {_cost.Kind.GATHER: row})
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + strips.read_waits(device, size, size / pairs)
    )


FAMILY = ConvPickedDsp()
