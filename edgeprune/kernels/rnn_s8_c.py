"""Portable C for Rnn: one unit at a time.

Y doubles as the hidden vector's storage; scratch holds the initial hidden vector, and without Y a second one to
alternate with.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels._recurrent import RecurrentPortable

__all__ = ["FAMILY", "RnnPortable"]


class RnnPortable(RecurrentPortable):
    """int8 Elman layer."""

    name = "rnn_s8_c"
    op = "Rnn"
    keeps_state = False
    row_words = 3
    code_bytes = 900
    cycles_per_unit = 130

    def helpers(self, node: Node) -> tuple[tuple[str, str], ...]:
        return (
            ("recurrent_t", "types"),
            ("rescale", "rescale"),
            ("tanh_q15", "tanh"),
            ("gate", "gate"),
            ("dot_1", "dot"),
        )

    def cycles_per_mac(self, node: Node) -> float:
        return 7.5

    def pack_rows(self, node: Node, over_x: Array, over_h: Array, offsets: Array) -> Array:
        return np.concatenate([over_x, over_h, offsets], axis=-1)


FAMILY = RnnPortable()
