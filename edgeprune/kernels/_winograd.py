"""Winograd's F(2x2, 3x3) in integers: tiles, transformed weights, and why the result is exact.

With g the 3 x 3 weights, d the 4 x 4 inputs, and

    B' = 1  0 -1  0     2G = 2  0  0     A' = 1  1  1  0
         0  1  1  0          1  1  1          0  1 -1 -1
         0 -1  1  0          1 -1  1
         0  1  0 -1          0  0  2

let U = (2G) g (2G)' and V = B' d B. Then A' (sum over input channels of U * V, element by element) A is exactly
four times the correlation of d with g, in integers: every entry of 2G, B and A is one, so nothing is rounded.

Ranges. A row of B' has two entries of magnitude 1: |V| <= 4 * 128 = 512. The magnitudes of a row of 2G sum to 3
at most: |U| <= 9 * 128 = 1152. Both are halfwords, whose products SMLAD adds two at a time. Sums and the output's
transform may wrap, because additions modulo 2**32 commute; the result, four times an accumulator below 2**23,
does not. It goes to the requantisation of `_dsp` with two bits of fraction instead of eight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["LANES", "Tiles", "fits", "transformed_weights"]

LANES = 4
"""Tiles multiplied together."""
_MOST_CHANNELS = 1024
"""Inputs of a step from the first channel to the last: 8 bytes a channel are within the constant of an ADD."""
_DOUBLED_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])


@dataclass(frozen=True)
class Tiles:
    """How an image is cut: `columns` x `rows` tiles of 2 x 2 outputs; `steps` pairs of input channels.

    `row_words` is a padded row in scratch; `groups` of four tiles are transformed before they are multiplied.
    """

    columns: int
    rows: int
    steps: int
    row_words: int
    groups: int

    @staticmethod
    def of(g: ConvGeometry, groups: int) -> Tiles:
        """The tiles of geometry `g`, in blocks of `groups` times four."""
        columns, rows, steps = -(-g.out_width // 2), -(-g.out_height // 2), g.in_channels // 2
        return Tiles(columns, rows, steps, (2 * columns + 2) * steps, groups)

    @property
    def lanes(self) -> int:
        """Tiles of a block."""
        return LANES * self.groups

    @property
    def transformed_words(self) -> int:
        """V of a block: 16 positions of all its tiles for every pair of input channels."""
        return 16 * self.lanes * self.steps

    @property
    def scratch_bytes(self) -> int:
        """Four rows, V, and the sums of a block with two channels, each row of them behind zeros; a multiple of 8."""
        sums = 16 if self.groups == 1 else 20
        return 4 * (4 * self.row_words + self.transformed_words + sums * self.lanes * 2)


def transformed_weights(w: Array) -> Array:
    """U = (2G) g (2G)' of int8 weights [out, 3, 3, in]: int64 [out, 16, in], within [-1152, 1152]."""
    u: Array = np.einsum("ai,oijc,bj->oabc", _DOUBLED_G, w.astype(np.int64), _DOUBLED_G)
    assert np.abs(u).max(initial=0) <= 1152
    return u.reshape(w.shape[0], 16, w.shape[3])


def fits(g: ConvGeometry) -> bool:
    """Whether the identity serves a convolution of geometry `g`."""
    return (
        (g.kernel_height, g.kernel_width) == (3, 3)
        and (g.stride_height, g.stride_width, g.dilation_height, g.dilation_width) == (1, 1, 1, 1)
        and g.group == 1
        and g.batch == 1
        and g.in_channels % 4 == 0
        and g.in_channels <= _MOST_CHANNELS
    )
