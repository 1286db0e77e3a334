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
from edgeprune.kernels._sparsity import (
    OutputBlock,
    block_ranges,
    gathered_words,
    output_blocks,
    place_type,
    weight_rows,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvGatheredDsp"]

_BLOCKS = (8, 16, 32, 64)
"""Output channels that may share their inputs, besides all of them."""
_CODE_BYTES = CODE_BYTES + 900
"""Of the layer's own function and those that layers share."""
_PIXELS = 4
_UNROLLED = 4
_WORD_CODE_BYTES = 92
"""Of one word in the loop: 23 instructions of 4 bytes."""
_GATHER_INSTRUCTIONS = 28
"""Of a word of four inputs of 4 pixels; a store of eight registers among them."""


class ConvGatheredDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose blocks of outputs lack inputs."""

    name = "conv_s8_dsp_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        g = sparse_geometry(nodes[0], device) if len(nodes) == 1 else None
        rows = weight_rows(nodes[0]) if g is not None else None
        if g is None or rows is None or g.out_channels > LARGEST_OUTPUTS or 4 * window_words(g) >= 1 << 16:
            return ()
        whole = g.out_channels + g.out_channels % 2
        sizes = {min(size, whole) for size in (*_BLOCKS, whole)}
        offered = [self._candidate(nodes[0], g, rows, size, device) for size in sorted(sizes)]
        fastest = min(offered, key=lambda candidate: candidate.cycles)
        smallest = min(offered, key=lambda candidate: candidate.flash_bytes)
        return (fastest,) if fastest is smallest else (fastest, smallest)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        exact = _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])
        return exact and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        b, scaling = weights[node.inputs[2].name], _dsp.Scaling.of(node)
        parts, places = [], []
        for first, end, kept in output_blocks(rows, _size(candidate), 2):
            inputs = np.pad(kept, (0, 4 * gathered_words(kept) - len(kept)))
            own = rows[first:end][:, inputs]
            own[:, len(kept) :] = 0
            part = replace(
                scaling, multipliers=scaling.multipliers[first:end], shifts=scaling.shifts[first:end]
            )
            header = np.array([gathered_words(kept) | (end - first) << 16, first], np.uint32)
            parts += [header, block_stream(own, b[first:end], node.inputs[0].zero_point, part, wide=False)]
            places.append(inputs)
        dtype = place_type(rows.shape[1])
        return (
            Constant(
                "stream", "uint32_t", np.concatenate(parts), "blocks of outputs: size, then their pairs"
            ),
            Constant("places", f"{dtype}_t", np.concatenate(places).astype(dtype), "inputs of each block"),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g = frame_geometry(node)
        functions = self._compute(g, names.prefix, _dsp.Scaling.of(node), _size(candidate))
        return emit_frame(node, g, names, _frame(g), functions, f"{place_type(g.taps)}_t")

    def _candidate(self, node: Node, g: ConvGeometry, rows: Array, size: int, device: Device) -> Candidate:
        blocks = output_blocks(rows, size, 2)
        weights = sum((end - first) * 4 * gathered_words(kept) for first, end, kept in blocks)
        return Candidate(
            self.name,
            f"{self.name}_{size}",
            (node,),
            flash_bytes=_CODE_BYTES + _stream_bytes(blocks) + _place_bytes(g, blocks),
            cycles=_cycles(g, blocks, node, device),
            scratch_bytes=scratch_bytes(g, _frame(g)),
            overlap=(overlap(g, _frame(g)),),
            parameters={"block": size},
            density=min(1.0, weights / rows.size),
        )

    def _compute(
        self, g: ConvGeometry, prefix: str, scaling: _dsp.Scaling, size: int
    ) -> tuple[Function, ...]:
        """The function that computes all channels of a block of pixels, last, and those it needs."""
        places = f"{place_type(g.taps)}_t"
        suffix = "" if places == "uint8_t" else "_wide"
        scale, functions = scaling.functions(prefix)
        gather = self.render(
            f"{prefix}_gather{suffix}", {"part": "gather", "prefix": prefix, "places": places}
        )
        block = self.render(
            f"{prefix}_gathered_block_{g.out_channels}_{scaling.kind}",
            {
                "part": "block",
                "prefix": prefix,
                "scale": scale,
                "scaling": scaling,
                "b": Block(_PIXELS, 0, g.out_channels, wide=False, grouped=False),
                "unrolled": _UNROLLED,
                "word_code_bytes": _WORD_CODE_BYTES,
            },
        )
        image = self.render(
            f"{prefix}_gathered{size}_{4 * window_words(g)}x{g.out_channels}",
            {
                "part": "image",
                "prefix": prefix,
                "places": places,
                "taps": 4 * window_words(g),
                "blocks": len(block_ranges(g.out_channels, size, 2)),
                "gather": gather.name,
                "block": block.name,
            },
        )
        needed = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16", "expand_word"))
        return (*functions, *needed, gather, block, image)


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _frame(g: ConvGeometry) -> Frame:
    """Planes of all inputs, and columns of as many as a block may keep."""
    return Frame("bytes", 4 * window_words(g) + 8 * window_words(g))


def _place_bytes(g: ConvGeometry, blocks: tuple[OutputBlock, ...]) -> int:
    return sum(4 * gathered_words(kept) for *_, kept in blocks) * np.dtype(place_type(g.taps)).itemsize


def _stream_bytes(blocks: tuple[OutputBlock, ...]) -> int:
    """A header for each block, and for each channel sum, weights and multiplier; channels are even."""
    return sum(8 + 2 * -(-(end - first) // 2) * (4 * gathered_words(kept) + 8) for first, end, kept in blocks)


def _cycles(g: ConvGeometry, blocks: tuple[OutputBlock, ...], node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for constants and code."""
    times = -(-output_pixels(g) // _PIXELS)
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    multiply = scale = gather = 0.0
    for first, end, kept in blocks:
        pairs, words = (end - first) // 2, gathered_words(kept)
        sums, rest = block_instructions(Block(_PIXELS, words, g.out_channels, False, False), kind)
        multiply, scale = multiply + pairs * sums, scale + pairs * (rest + 8)
        gather += _GATHER_INSTRUCTIONS * words + 60
    instructions = {
        _cost.Kind.MULTIPLY: times * multiply,
        _cost.Kind.SCALE: times * scale,
        _cost.Kind.GATHER: times * gather,
    }
    size = _stream_bytes(blocks)
    places = _place_bytes(g, blocks)
    return round(
        window_cycles(g, _frame(g), device)
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES - CODE_BYTES)
        + _cost.read_waits(device, size + places, loads=times * (size + places) / 4, passes=times)
    )


FAMILY = ConvGatheredDsp()
