"""Sparse convolution for the DSP extension: blocks of weights, two output channels times four inputs, are kept or gone.

The dense kernel works through words of four inputs for two channels at a time (`_dsp`, borrow encoding). Here each such
word comes with the distance from the one before, and those without a weight are absent: four bytes and four
instructions more for each that is left. The columns are those of the dense kernel, and so are range and scaling; a pair
of channels keeps at least one word.
"""

from __future__ import annotations

import functools

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS, Block, block_instructions, block_stream
from edgeprune.kernels._dsp_conv import Cost, window_words
from edgeprune.kernels._dsp_sparse import Frame, emit_frame, frame_cost, frame_geometry, sparse_convolution
from edgeprune.kernels._dsp_sparse_streams import record_counts, record_stream, records_bytes
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvBlocksDsp"]

_CODE_BYTES = 700
"""Of what computes a block of pixels."""
_PIXELS, _CHANNELS = 4, 2
_COLUMN_BYTES = 32
"""Columns of a word of four inputs."""
_RECORD_INSTRUCTIONS = 26.5
"""Of a word of two channels; with the branch of every other one."""


class ConvBlocksDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose weights lack blocks of 2 x 4."""

    name = "conv_s8_dsp_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_convolution(nodes, device, LARGEST_OUTPUTS)
        if found is None:
            return ()
        g, rows = found
        records = record_counts(rows, _CHANNELS)
        density = min(1.0, int(records.sum()) * 4 * _CHANNELS / rows.size)
        return (
            Candidate(self.name, self.name, nodes, **_costs(g, records, nodes[0], device), density=density),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        dense = functools.partial(block_stream, wide=False)
        stream = record_stream(candidate.nodes[0], weights, _CHANNELS, _COLUMN_BYTES, dense)
        comment = "initial sums, records of weights, multipliers per channel pair"
        return (Constant("stream", "uint32_t", stream, comment),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g = frame_geometry(node)
        return emit_frame(node, g, names, _frame(g), self._compute(g, names.prefix, _dsp.Scaling.of(node)))

    def _compute(self, g: ConvGeometry, prefix: str, scaling: _dsp.Scaling) -> tuple[Function, ...]:
        """The function that computes all channels of a block of pixels, last, and those it needs."""
        scale, functions = scaling.functions(prefix)
        shape = Block(_PIXELS, 0, g.out_channels, wide=False, grouped=False)
        values = {"part": "block", "prefix": prefix, "scale": scale, "scaling": scaling, "b": shape}
        block = self.render(f"{prefix}_block2x4_{g.out_channels}_{scaling.kind}", values)
        values = {"part": "image", "prefix": prefix, "outputs": g.out_channels, "block": block.name}
        image = self.render(f"{prefix}_blocks_{g.out_channels}", values)
        return (*functions, *_dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16")), block, image)


def _frame(g: ConvGeometry) -> Frame:
    return Frame("columns", _COLUMN_BYTES // 4 * window_words(g))


def _costs(g: ConvGeometry, records: Array, node: Node, device: Device) -> Cost:
    frame = _frame(g)
    times = frame.blocks(g)
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    _, rest = block_instructions(Block(_PIXELS, 1, g.out_channels, wide=False, grouped=False), kind)
    instructions = {
        _cost.Kind.MULTIPLY: times * _RECORD_INSTRUCTIONS * int(records.sum()),
        _cost.Kind.SCALE: times * (len(records) * (rest + 6) + 30),
    }
    return frame_cost(g, frame, device, _CODE_BYTES, records_bytes(records, _CHANNELS), instructions)


FAMILY = ConvBlocksDsp()
