"""Gru: a gated recurrent unit layer with int8 weights, inputs and outputs and a 32-bit hidden state.

The hidden vector is kept in Q16 for the update, where int8 steps would stall it when the update gate is near 1,
and read by the matrix products as int8 at the output's scale. A time step, in the formats of `_gates` (z, r in
units of 2**-16, n = tanh, shifted to Q16):

    linear_before_reset = 1:  n = 2 * tanh(Pw + ((r * Pr + 2**15) >> 16))
    linear_before_reset = 0:  n = 2 * tanh(P of x and of the int8 of ((r * h + 2**15) >> 16))
    h' = n + ((z * (h - n) + 2**15) >> 16)

In the first form the candidate's row has two pre-activations, Pw from x and Pr from h, each rounded and offset
by its own bias: `b` holds 4 biases per unit, z, r, n and, for the second, rn (0 in the other form).
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Attributes, Node
from edgeprune.ops._gates import FRACTION_BITS, rounding_shift, saturate_gate, sigmoid_q16, tanh_q15
from edgeprune.ops._recurrent import Direction, Recurrent
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Gru"]


class Gru(Recurrent):
    """ONNX GRU; gates in the order update, reset, candidate. Attribute `linear_before_reset` is 0 or 1."""

    name = "Gru"
    onnx_types = ("GRU",)
    gates = 3
    states = 1
    activations = ("sigmoid", "tanh")
    refused = ("clip", "activation_alpha", "activation_beta")

    def extra_attributes(self, node: OnnxNode) -> Attributes:
        return {"linear_before_reset": int(bool(node.attrs.get("linear_before_reset", 0)))}

    def fold_bias(self, node: OnnxNode, w_bias: Array, r_bias: Array) -> Array:
        linear = bool(node.attrs.get("linear_before_reset", 0))
        total, recurrent = w_bias + r_bias, r_bias[:, 2:] if linear else np.zeros_like(r_bias[:, 2:])
        return np.concatenate([total[:, :2], total[:, 2:] - recurrent, recurrent], axis=1)

    def offsets(self, node: Node, over_x: Array, over_h: Array, bias: Array) -> Array:
        over_h, over_rn = over_h.copy(), np.zeros_like(over_h[:, 2:])
        if node.int("linear_before_reset"):
            over_rn, over_h[:, 2:] = over_h[:, 2:].copy(), 0
        zero_parts = np.concatenate([over_x + over_h, over_rn], axis=1)
        return saturate_gate(bias - rounding_shift(zero_parts, self.multipliers(node).shift))

    def step(
        self, node: Node, rows: Direction, products: Array, stored: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        over_x = products.reshape(len(products), self.gates, -1)
        over_h = rows.hidden_products(stored).reshape(over_x.shape)
        z, r = (sigmoid_q16(_gate(over_x[:, g] + over_h[:, g], rows.shift, rows.offset[g])) for g in range(2))
        if node.int("linear_before_reset"):
            recurrent = _gate(over_h[:, 2], rows.shift, rows.offset[3])
            candidate = _gate(over_x[:, 2], rows.shift, rows.offset[2])
            candidate = candidate + rounding_shift(r * recurrent, FRACTION_BITS)
        else:
            reset = rows.hidden.to_int8(rounding_shift(r * h, FRACTION_BITS))
            over_reset = rows.hidden_products(reset).reshape(over_x.shape)[:, 2]
            candidate = _gate(over_x[:, 2] + over_reset, rows.shift, rows.offset[2])
        n = 2 * tanh_q15(candidate)
        return n + rounding_shift(z * (h - n), FRACTION_BITS), c

    def float_step(
        self, node: Node, x: Array, r: Array, bias: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        over_h = np.einsum("nk,ghk->ngh", h, r)
        z, reset = (1 / (1 + np.exp(-(x[:, g] + over_h[:, g] + bias[g]))) for g in range(2))
        linear = node.int("linear_before_reset")
        recurrent = reset * (over_h[:, 2] + bias[3]) if linear else (reset * h) @ r[2].T
        n = np.tanh(x[:, 2] + bias[2] + recurrent)
        return n + z * (h - n), c


def _gate(products: Array, shift: int, offset: Array) -> Array:
    return saturate_gate(rounding_shift(products, shift) + offset)


OPERATOR = Gru()
