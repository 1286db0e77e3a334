"""Sparse convolution for the DSP extension: blocks of weights, two output channels times four inputs, are kept or gone.

The dense kernel works through words of four inputs for two channels at a time (`_dsp`, borrow encoding). Here each such
word comes with the distance from the one before, and those without a weight are absent: four bytes and four
instructions more for each that is left. The columns are those of the dense kernel, and so are range and scaling; a pair
of channels keeps at least one word.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS, Block, block_instructions, block_stream
from edgeprune.kernels._dsp_conv import output_pixels, window_words
from edgeprune.kernels._dsp_sparse import (
    CODE_BYTES,
    Frame,
    emit_frame,
    frame_geometry,
    overlap,
    scratch_bytes,
    sparse_geometry,
    window_cycles,
)
from edgeprune.kernels._sparsity import kept_words, weight_rows
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvBlocksDsp"]

_CODE_BYTES = CODE_BYTES + 700
"""Of the layer's own function and those that layers share."""
_PIXELS, _CHANNELS = 4, 2
_COLUMN_BYTES = 32
"""Columns of a word of four inputs."""
_RECORD_INSTRUCTIONS = 26.5
"""Of a word of two channels; with the branch of every other one."""


class ConvBlocksDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose weights lack blocks of 2 x 4."""

    name = "conv_s8_dsp_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        g = sparse_geometry(nodes[0], device) if len(nodes) == 1 else None
        rows = weight_rows(nodes[0]) if g is not None else None
        if g is None or rows is None or g.out_channels > LARGEST_OUTPUTS:
            return ()
        records = np.maximum(kept_words(rows, _CHANNELS).sum(axis=1), 1)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _stream_bytes(records),
                cycles=_cycles(g, records, nodes[0], device),
                scratch_bytes=scratch_bytes(g, _frame(g)),
                overlap=(overlap(g, _frame(g)),),
                density=min(1.0, int(records.sum()) * 4 * _CHANNELS / rows.size),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        exact = _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])
        return exact and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        b, scaling = weights[node.inputs[2].name], _dsp.Scaling.of(node)
        parts = []
        for index, kept in enumerate(kept_words(rows, _CHANNELS)):
            first = min(index * _CHANNELS, len(rows) - _CHANNELS)
            pair = slice(first, first + _CHANNELS)
            own = replace(scaling, multipliers=scaling.multipliers[pair], shifts=scaling.shifts[pair])
            stream = block_stream(rows[pair], b[pair], node.inputs[0].zero_point, own, wide=False)
            words = stream[_CHANNELS:-_CHANNELS].reshape(-1, _CHANNELS)
            parts += [stream[:_CHANNELS], _records(words, np.flatnonzero(kept)), stream[-_CHANNELS:]]
        comment = "initial sums, records of weights, multipliers per channel pair"
        return (Constant("stream", "uint32_t", np.concatenate(parts), comment),)

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


def _records(words: Array, kept: Array) -> Array:
    """Each kept word of `words` [words, 2], at least one, after how far it lies from the one before: uint32."""
    kept = kept if len(kept) else np.zeros(1, np.int64)
    skipped = np.diff(kept, prepend=-1) - 1
    steps = 2 * _COLUMN_BYTES * skipped
    steps[-1] += 1
    return np.column_stack([steps.astype(np.uint32), words[kept]]).ravel()


def _frame(g: ConvGeometry) -> Frame:
    return Frame("columns", _COLUMN_BYTES // 4 * window_words(g))


def _stream_bytes(records: Array) -> int:
    """Of pairs of channels with so many records each: sums, records of three words, multipliers."""
    return int((16 + 12 * records).sum())


def _cycles(g: ConvGeometry, records: Array, node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for the stream and code."""
    times = -(-output_pixels(g) // _PIXELS)
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    _, rest = block_instructions(Block(_PIXELS, 1, g.out_channels, wide=False, grouped=False), kind)
    instructions = {
        _cost.Kind.MULTIPLY: times * _RECORD_INSTRUCTIONS * int(records.sum()),
        _cost.Kind.SCALE: times * (len(records) * (rest + 6) + 30),
    }
    size = _stream_bytes(records)
    return round(
        window_cycles(g, _frame(g), device)
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES - CODE_BYTES)
        + _cost.read_waits(device, size, loads=times * size / 4, passes=times)
    )


FAMILY = ConvBlocksDsp()
