"""Blocks of pixels times pairs of output channels, requantised in registers: code, stream of weights, instructions.

A block is up to 4 pixels wide, whose windows lie in scratch as columns of halfwords, four lanes to a word. Weights
come in one of two forms.

* Encoded (`_dsp`, borrow encoding): a byte each in flash, unpacked by one SXTB16 per four; sums are 256 times the
  accumulator, and a channel's shift travels in their low byte.
* Wide: doubled, as halfwords, two bytes each; 2*w is within [-256, 254], and sums are twice the accumulator, below
  2**24. Nothing is unpacked, and requantisation, which wants twice the accumulator, is an instruction shorter for
  every output: cheaper where windows are short.

Both end in the forms "positive" and "fast" of `_dsp.Scaling` for shifts n of 1 to 23: with the product h and the
offset o = (2*zero + 1) << (n - 1), SSAT computes saturate((h + o) >> (n - 1) >> 1), which is the same as a shift by
n. So the stream holds n - 1, by which the offset and the sum are shifted alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.kernels import _dsp
from edgeprune.kernels.base import Function
from edgeprune.templating import render

__all__ = ["LARGEST_OUTPUTS", "LARGEST_WORDS", "Block", "block_instructions", "block_stream", "fused_block"]

LARGEST_OUTPUTS = 1365
"""Output channels: the third pixel's outputs are within the 4,095 bytes that a store's offset reaches."""
LARGEST_WORDS = 2047
"""Words of a window: 32 bytes of columns each are within the constant of a MOV."""
_UNROLLED_WORDS = 4
"""Windows up to this need no loop."""
_LONG_WORDS = 16
"""Windows from this on are worth a loop of four words instead of two."""


@dataclass(frozen=True)
class Block:
    """`pixels` windows of `words` words of four inputs, times an image's `outputs` channels.

    `wide` says how weights are stored; a `grouped` function takes several blocks. Columns hold `lanes` pixels side by
    side, 4, or 3 for blocks of 3 alone, which an LDM loads at once. From a pixel to the next it is `outputs`. Blocks
    follow one another, unless `columns_step` (words) and `outputs_step` say how far from one the next begins.
    """

    pixels: int
    words: int
    outputs: int
    wide: bool
    grouped: bool
    lanes: int = 4
    columns_step: int | None = None
    outputs_step: int | None = None

    @property
    def next_columns(self) -> int:
        """Words from the columns of a block to those of the next."""
        return self.column_words if self.columns_step is None else self.columns_step

    @property
    def next_outputs(self) -> int:
        """Outputs from a block to the next."""
        return self.pixels * self.outputs if self.outputs_step is None else self.outputs_step

    @property
    def unrolled(self) -> int:
        """Words of a turn of the loop."""
        return 4 if self.words >= _LONG_WORDS else 2

    @property
    def peeled(self) -> int:
        """Words before the loop, the first of which starts the sums; with none, they are started by copies."""
        if self.words <= _UNROLLED_WORDS:
            return self.words
        return self.words % 4 if self.unrolled == 4 else 2 - self.words % 2

    @property
    def column_words(self) -> int:
        """Words of a block's columns."""
        return 2 * self.lanes * self.words

    @property
    def weight_bytes(self) -> int:
        """Weights of a pair of channels in the stream."""
        return self.words * (16 if self.wide else 8)

    @property
    def pair_words(self) -> int:
        """Words of the stream for a pair of channels: sums, weights, multipliers, and shifts where they are apart."""
        return self.weight_bytes // 4 + (6 if self.wide else 4)


def fused_block(prefix: str, scaling: _dsp.Scaling, block: Block) -> tuple[str, tuple[Function, ...]]:
    """The name of the function that computes `block`, and the functions it needs, itself last.

    `scaling` must be `is_short`.
    """
    assert scaling.is_short
    assert block.lanes in (block.pixels, 4)
    assert block.next_columns <= block.column_words
    assert block.outputs <= LARGEST_OUTPUTS
    assert block.words <= LARGEST_WORDS
    scale, functions = scaling.functions(prefix, 1 if block.wide else 8)
    form = (
        ("_dense" if block.lanes == 3 else "")
        + ("_wide" if block.wide else "")
        + ("_groups" if block.grouped else "")
        + ("" if block.columns_step is None else f"_{block.columns_step}")
        + ("" if block.outputs_step is None else f"_{block.outputs_step}")
    )
    name = f"{prefix}_block{block.pixels}_{4 * block.words}x{block.outputs}_{scaling.kind}{form}"
    values = {"prefix": prefix, "name": name, "scale": scale, "scaling": scaling, "b": block}
    function = Function(name, render("kernels/_dsp_block.j2", values))
    return name, (*functions, *_dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16")), function)


def block_stream(rows: Array, b: Array, zero_x: int, scaling: _dsp.Scaling, *, wide: bool) -> Array:
    """What the function reads for weights [out, K], at least two channels: uint32.

    For every pair of channels two initial sums, the interleaved words of weights, two multipliers; `wide` ones each
    with its shift. An odd last channel pairs with the one before it.
    """
    padded = _dsp.pad_to_words(rows)
    less = (-scaling.shifts - 1).astype(np.uint32)
    if wide:
        w = padded.astype(np.int64)
        sums = (2 * (b.astype(np.int64) - zero_x * w.sum(axis=1))).astype(np.uint32)
        four = 2 * w.reshape(len(w), -1, 4)
        low, high = four[..., [0, 1]] & 0xFFFF, four[..., [2, 3]] & 0xFFFF
        words = (low | (high << 16)).astype(np.uint32).reshape(len(w), -1)
    else:
        sums = (_dsp.initial_sums(padded, b, zero_x, scaling) & np.uint32(0xFFFFFF00)) | less
        words = _dsp.encode_words(padded)
    multipliers = scaling.multipliers.astype(np.uint32)
    parts = []
    for first in range(0, len(rows), 2):
        start = min(first, len(rows) - 2)
        pair = [start, start + 1]
        scales = np.stack([multipliers[pair], less[pair]], axis=1).ravel() if wide else multipliers[pair]
        parts += [sums[pair], words[pair].T.ravel(), scales]
    return np.concatenate(parts)


def block_instructions(block: Block, kind: str) -> tuple[float, float]:
    """Instructions of a block with one pair of channels: of sums, and of the rest; counted in the function.

    `kind` is that of the scaling.
    """
    weights = 2 if block.wide else 3
    loads = 2 if block.lanes == 3 else 2 * -(-block.pixels // 2)
    copies = 0 if block.peeled else 2 * (block.pixels - 1)
    turns = (block.words - block.peeled) // block.unrolled
    multiply = block.words * (weights + loads + 4 * block.pixels) + 3 * turns + copies
    scale = 2 * block.pixels * ((4 if block.wide else 5) + (kind == "fast")) + (10 if block.wide else 12)
    return multiply, scale + (9 if block.grouped else 4)
