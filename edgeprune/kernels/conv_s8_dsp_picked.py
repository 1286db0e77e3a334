"""Sparse convolution for the DSP extension: of each window only the inputs that weights are left for are picked.

As in `conv_s8_dsp_gathered`, a block of output channels shares its inputs, and the dense kernel's loop runs over those
alone. Here no window is copied whole: the rows that an output row reads lie side by side in scratch, padding included,
where an input of a window is as many bytes from the window's start for every pixel, so that one table of places serves
all of them. Picking a word of four inputs for 4 pixels takes 51 instructions; a word of a window that is copied and
turned takes 53, wanted or not, and 28 more where it is. So for windows of several positions, most of whose inputs no
weight is left for, this is the faster way, and for images a few pixels wide, the other.

Rows are copied before the first pixel of their output row is stored. The last four pixels of a row may reach back over
pixels that are stored already, and store the same again.

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
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS, Block, block_instructions, block_stream
from edgeprune.kernels._dsp_conv import least_distance, output_pixels
from edgeprune.kernels._dsp_sparse import sparse_convolution
from edgeprune.kernels._dsp_sparse_streams import gathered_bytes, gathered_constants
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
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "ConvPickedDsp"]

_PIXELS, _CHANNELS = 4, 2
_LARGEST_OFFSET = 4095
"""What a load reaches from where the first pixel's input is."""
_CODE_BYTES = 1200
"""Of the layer's own function and those that layers share."""
_UNROLLED, _WORD_CODE_BYTES = 4, 92
"""Of the loop of `conv_s8_dsp_gathered`, which this is: words of a turn, bytes of code of a word."""
_PICK_INSTRUCTIONS = 51
"""Of a word of four inputs of 4 pixels, byte loads more than a third of them."""
_BLOCK_INSTRUCTIONS = 50
"""Of calls and headers, for a block of channels."""
_COPY_INSTRUCTIONS = 11 / 4
"""Of a word of a row."""


class ConvPickedDsp(KernelFamily):
    """int8 Conv with one group, at least 4 pixels wide, whose blocks of outputs lack inputs."""

    name = "conv_s8_dsp_picked"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_convolution(nodes, device, LARGEST_OUTPUTS)
        if found is None or nodes[0].op != "Conv" or not _is_reached(found[0]):
            return ()
        return fastest_and_smallest(self._candidates(nodes[0], *found, device))

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        dense = functools.partial(block_stream, wide=False)
        comment = "blocks of outputs: size, then their pairs"
        stream, inputs = gathered_constants(node, weights, _size(candidate), _CHANNELS, dense, comment)
        places = _offsets(conv_geometry(node))[inputs.values]
        return stream, Constant("places", "uint16_t", places, "inputs of each block, in bytes")

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g = conv_geometry(node)
        stride = g.stride_width * g.in_channels
        copy = self.render(f"{prefix}_copy_row", {"part": "copy", "prefix": prefix})
        functions = self._blocks(g, prefix, _dsp.Scaling.of(node), _size(candidate))
        values = {
            "part": "layer",
            "prefix": prefix,
            "g": g,
            "row_bytes": _row_bytes(g),
            "column_words": _column_words(g),
            "stride": stride,
            "copy": copy.name,
            "compute": functions[-1].name,
        }
        size = f"{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}"
        layer = self.render(f"{functions[-1].name}_{size}", values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['places']}"
        columns = f"({prefix}_u32_t *)(void *){names.scratch}"
        zeros = f"{node.inputs[0].zero_point}, {node.output.zero_point}"
        return Code((copy, *functions, layer), f"{layer.name}({x}, {constants}, {y}, {columns}, {zeros});")

    def _candidates(self, node: Node, g: ConvGeometry, rows: Array, device: Device) -> Iterator[Candidate]:
        ends = np.arange(g.out_width, output_pixels(g), g.out_width)
        for size in block_sizes(g.out_channels, _CHANNELS):
            blocks = output_blocks(rows, size, _CHANNELS)
            yield Candidate(
                self.name,
                f"{self.name}_{size}",
                (node,),
                flash_bytes=_CODE_BYTES + _constant_bytes(blocks),
                cycles=_cycles(g, blocks, node, device),
                scratch_bytes=-(-(4 * _column_words(g) + g.kernel_height * _row_bytes(g)) // 8) * 8,
                overlap=(least_distance(g, ends),),
                parameters={"block": size},
                density=gathered_density(rows, blocks),
            )

    def _blocks(self, g: ConvGeometry, prefix: str, scaling: _dsp.Scaling, size: int) -> tuple[Function, ...]:
        """The function that computes all channels of 4 pixels, last, and those it needs."""
        stride = g.stride_width * g.in_channels
        scale, functions = scaling.functions(prefix)
        pick = self.render(f"{prefix}_pick_{stride}", {"part": "pick", "prefix": prefix, "stride": stride})
        block = _gathered_block(
            f"{prefix}_gathered_block_{g.out_channels}_{scaling.kind}", g, prefix, scale, scaling
        )
        values = {
            "part": "blocks",
            "prefix": prefix,
            "stride": stride,
            "blocks": len(block_ranges(g.out_channels, size, _CHANNELS)),
            "pick": pick.name,
            "block": block.name,
        }
        blocks = self.render(f"{prefix}_picked{size}_{stride}x{g.out_channels}_{scaling.kind}", values)
        needed = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16", "expand_word"))
        return (*functions, *needed, pick, block, blocks)


def _gathered_block(name: str, g: ConvGeometry, prefix: str, scale: str, scaling: _dsp.Scaling) -> Function:
    """The loop of `conv_s8_dsp_gathered`, the same function where both are in a library."""
    values = {
        "part": "block",
        "prefix": prefix,
        "name": name,
        "scale": scale,
        "scaling": scaling,
        "b": Block(_PIXELS, 0, g.out_channels, wide=False, grouped=False),
        "unrolled": _UNROLLED,
        "word_code_bytes": _WORD_CODE_BYTES,
    }
    return Function(name, render("kernels/conv_s8_dsp_gathered.c.j2", values))


def _is_reached(g: ConvGeometry) -> bool:
    """Whether rows are long enough for 4 pixels and short enough for loads, places and stores to reach all of them."""
    offset = (_PIXELS - 1) * g.stride_width * g.in_channels
    return (
        g.out_width >= _PIXELS
        and offset <= _LARGEST_OFFSET
        and g.kernel_height * _row_bytes(g) <= LARGEST_INPUTS
    )


def _row_bytes(g: ConvGeometry) -> int:
    """Of a row with its padding, as far as windows reach."""
    reach = (g.out_width - 1) * g.stride_width + (g.kernel_width - 1) * g.dilation_width + 1
    return max(g.pad_left + g.in_width, reach) * g.in_channels


def _offsets(g: ConvGeometry) -> Array:
    """From the start of a window to each of its inputs, in bytes: uint16 [taps]."""
    rows = np.arange(g.kernel_height)[:, None, None] * _row_bytes(g)
    columns = np.arange(g.kernel_width)[:, None] * g.dilation_width * g.in_channels
    found: Array = (rows + columns + np.arange(g.in_channels)).reshape(-1).astype(np.uint16)
    return found


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _column_words(g: ConvGeometry) -> int:
    """Of as many inputs as a block may keep."""
    return 8 * -(-g.taps // 4)


def _constant_bytes(blocks: tuple[OutputBlock, ...]) -> int:
    return gathered_bytes(blocks) + place_bytes(LARGEST_INPUTS, blocks)


def _cycles(g: ConvGeometry, blocks: tuple[OutputBlock, ...], node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for constants and code."""
    output_rows = g.batch * g.out_height
    times = output_rows * -(-g.out_width // _PIXELS)
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    multiply = scale = pick = 0.0
    for first, end, kept in blocks:
        pairs, words = (end - first) // _CHANNELS, gathered_words(kept)
        sums, rest = block_instructions(Block(_PIXELS, words, g.out_channels, False, False), kind)
        multiply, scale = multiply + pairs * sums, scale + pairs * (rest + 8)
        pick += _PICK_INSTRUCTIONS * words + _BLOCK_INSTRUCTIONS
    row_words = g.in_width * g.in_channels / 4
    copied = output_rows * g.kernel_height * (_COPY_INSTRUCTIONS * row_words + 30)
    instructions = {
        _cost.Kind.MULTIPLY: times * multiply,
        _cost.Kind.SCALE: times * scale,
        _cost.Kind.GATHER: times * pick + copied,
    }
    size = _constant_bytes(blocks)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, size, loads=times * size / 4, passes=times)
    )


FAMILY = ConvPickedDsp()
