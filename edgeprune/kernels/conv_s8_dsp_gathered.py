"""Sparse convolution for the DSP extension: a block of output channels shares the inputs it has weights for.

N:M patterns that 8, 16 or more channels share, and input channels that a block of outputs does without, leave whole
columns of a block's matrix of weights empty. For each block the kept inputs of 4 pixels are gathered by a table into
the columns of the dense kernel (`_dsp`, borrow encoding), and that kernel's loop runs over them alone: a gathered input
is used as often as the block has channels, and weights stay a byte each.

Planes hold an input of 4 pixels in a word, so that a gather is a load for each input and 16 instructions for a word of
four; its place is a byte where windows have up to 256 inputs, two otherwise. A block keeps a whole number of words,
filled up with input 0 and weights of zero, and at least one.

What the sums start from, their range and their scaling are those of `_dsp`: an input with weight zero adds nothing to
either, whichever form it has.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS, Block, block_instructions, block_stream
from edgeprune.kernels._dsp_conv import Cost, window_words
from edgeprune.kernels._dsp_gathered import gather_function, gathered_block
from edgeprune.kernels._dsp_sparse import Frame, emit_frame, frame_cost, frame_geometry, sparse_convolution
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
    place_type,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvGatheredDsp"]

_CODE_BYTES = 900
"""Of what computes a block of pixels."""
_PIXELS, _CHANNELS = 4, 2
_GATHER_INSTRUCTIONS = 28
"""Of a word of four inputs of 4 pixels; a store of eight registers among them."""


class ConvGatheredDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose blocks of outputs lack inputs."""

    name = "conv_s8_dsp_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_convolution(nodes, device, LARGEST_OUTPUTS)
        if found is None or found[0].taps > LARGEST_INPUTS:
            return ()
        return fastest_and_smallest(self._candidates(nodes[0], *found, device))

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        dense = functools.partial(block_stream, wide=False)
        comment = "blocks of outputs: size, then their pairs"
        return gathered_constants(candidate.nodes[0], weights, _size(candidate), _CHANNELS, dense, comment)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g = frame_geometry(node)
        functions = self._compute(g, names.prefix, _dsp.Scaling.of(node), _size(candidate))
        return emit_frame(node, g, names, _frame(g), functions, f"{place_type(g.taps)}_t")

    def _candidates(self, node: Node, g: ConvGeometry, rows: Array, device: Device) -> Iterator[Candidate]:
        for size in block_sizes(g.out_channels, _CHANNELS):
            blocks = output_blocks(rows, size, _CHANNELS)
            yield Candidate(
                self.name,
                f"{self.name}_{size}",
                (node,),
                **_costs(g, blocks, node, device),
                parameters={"block": size},
                density=gathered_density(rows, blocks),
            )

    def _compute(
        self, g: ConvGeometry, prefix: str, scaling: _dsp.Scaling, size: int
    ) -> tuple[Function, ...]:
        """The function that computes all channels of a block of pixels, last, and those it needs."""
        places = f"{place_type(g.taps)}_t"
        gather = gather_function(prefix, "planes", places)
        block = gathered_block(prefix, g.out_channels, scaling, grouped=False)
        image = self.render(
            f"{prefix}_gathered{size}_{4 * window_words(g)}x{g.out_channels}",
            {
                "prefix": prefix,
                "places": places,
                "taps": 4 * window_words(g),
                "blocks": len(block_ranges(g.out_channels, size, _CHANNELS)),
                "gather": gather[-1].name,
                "block": block[-1].name,
            },
        )
        return (*gather, *block, image)


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _frame(g: ConvGeometry) -> Frame:
    """Planes of all inputs, and columns of as many as a block may keep."""
    return Frame("bytes", 4 * window_words(g) + 8 * window_words(g))


def _costs(g: ConvGeometry, blocks: tuple[OutputBlock, ...], node: Node, device: Device) -> Cost:
    frame = _frame(g)
    times = frame.blocks(g)
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    multiply = scale = gather = 0.0
    for first, end, kept in blocks:
        pairs, words = (end - first) // _CHANNELS, gathered_words(kept)
        sums, rest = block_instructions(Block(_PIXELS, words, g.out_channels, False, False), kind)
        multiply, scale = multiply + pairs * sums, scale + pairs * (rest + 8)
        gather += _GATHER_INSTRUCTIONS * words + 60
    instructions = {
        _cost.Kind.MULTIPLY: times * multiply,
        _cost.Kind.SCALE: times * scale,
        _cost.Kind.GATHER: times * gather,
    }
    constant_bytes = gathered_bytes(blocks) + place_bytes(g.taps, blocks)
    return frame_cost(g, frame, device, _CODE_BYTES, constant_bytes, instructions)


FAMILY = ConvGatheredDsp()
