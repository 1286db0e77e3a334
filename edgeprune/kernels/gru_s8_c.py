"""Portable C for Gru: one unit at a time, no buffer of gates.

With linear_before_reset a unit's three rows of weights are interleaved and computed at once; without it the
reset gates of all units come first, because the candidate's product needs the whole reset hidden vector. Scratch
holds the hidden state (4 bytes a unit), the initial hidden vector, without Y a second one to alternate with, and
the reset vector where there is one.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels._recurrent import RecurrentPortable

__all__ = ["FAMILY", "GruPortable"]


class GruPortable(RecurrentPortable):
    """int8 GRU."""

    name = "gru_s8_c"
    op = "Gru"
    row_words = 10
    code_bytes = 1900
    cycles_per_unit = 420

    def helpers(self, node: Node) -> tuple[tuple[str, str], ...]:
        return (
            ("recurrent_t", "types"),
            ("rescale", "rescale"),
            ("tanh_q15", "tanh"),
            ("sigmoid_q16", "sigmoid"),
            ("gate", "gate"),
            ("scale_state", "scale_state"),
            ("dot_3" if self.interleaved(node) else "dot_1", "dot"),
        )

    def interleaved(self, node: Node) -> bool:
        return bool(node.int("linear_before_reset"))

    def cycles_per_mac(self, node: Node) -> float:
        return 5.0 if self.interleaved(node) else 7.5

    def pack_rows(self, node: Node, over_x: Array, over_h: Array, offsets: Array) -> Array:
        gates = np.stack([over_x, over_h, offsets[..., :3]], axis=-1)
        return np.concatenate([gates.reshape(*gates.shape[:2], -1), offsets[..., 3:]], axis=-1)


FAMILY = GruPortable()
