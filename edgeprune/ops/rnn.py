"""Rnn: an Elman layer, h' = tanh(W x + R h + b), with int8 weights, inputs and hidden vector.

A time step, in the formats of `_gates`: h' = 2 * tanh(P) in Q16, then int8 by one requantisation.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._gates import rounding_shift, saturate_gate, tanh_q15
from edgeprune.ops._recurrent import Direction, Recurrent
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Rnn"]


class Rnn(Recurrent):
    """ONNX RNN with tanh."""

    name = "Rnn"
    onnx_types = ("RNN",)
    gates = 1
    keeps_wide = False
    states = 1
    activations = ("tanh",)
    refused = ("clip", "activation_alpha", "activation_beta")

    def fold_bias(self, node: OnnxNode, w_bias: Array, r_bias: Array) -> Array:
        return w_bias + r_bias

    def offsets(self, node: Node, over_x: Array, over_h: Array, bias: Array) -> Array:
        return saturate_gate(bias - rounding_shift(over_x + over_h, self.multipliers(node).shift))

    def step(
        self, node: Node, rows: Direction, products: Array, stored: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        total = rounding_shift(products + rows.hidden_products(stored), rows.shift)
        return 2 * tanh_q15(saturate_gate(total + rows.offset[0])), c

    def float_step(
        self, node: Node, x: Array, r: Array, bias: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        return np.tanh(x[:, 0] + h @ r[0].T + bias[0]), c


OPERATOR = Rnn()
