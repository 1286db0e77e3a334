"""Portable C for Lstm: one unit at a time, its four rows of weights interleaved, no buffer of gates.

Y doubles as the hidden vector's storage; scratch holds the cell (4 bytes a unit), the initial hidden vector, and
without Y a second hidden vector to alternate with.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels._recurrent import RecurrentPortable

__all__ = ["FAMILY", "LstmPortable"]


class LstmPortable(RecurrentPortable):
    """int8 LSTM."""

    name = "lstm_s8_c"
    op = "Lstm"
    row_words = 12
    code_bytes = 1500
    cycles_per_unit = 500

    def helpers(self, node: Node) -> tuple[tuple[str, str], ...]:
        return (
            ("recurrent_t", "types"),
            ("rescale", "rescale"),
            ("tanh_q15", "tanh"),
            ("sigmoid_q16", "sigmoid"),
            ("gate", "gate"),
            ("dot_4", "dot"),
        )

    def cycles_per_mac(self, node: Node) -> float:
        return 4.5

    def pack_rows(self, node: Node, over_x: Array, over_h: Array, offsets: Array) -> Array:
        return np.stack([over_x, over_h, offsets], axis=-1)


FAMILY = LstmPortable()
