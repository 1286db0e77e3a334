"""Lstm: a long short-term memory layer with int8 weights, inputs and outputs and a 32-bit cell.

A time step, in the formats of `_gates` (i, o, f in units of 2**-16, g = tanh in units of 2**-15, c in Q16):

    c' = (f * c + 2 * i * g + 2**15) >> 16
    h' = (o * tanh(c') + 2**14) >> 15            in Q16, then int8 by one requantisation

Since f < 1 and |i * g| < 1, |c| grows by less than 1 a step: |c0| + T below 2**14 (checked) keeps it within int32
with no calibration and no saturation, and 2**-16 is fine enough that a forget gate near 1 loses nothing over
thousands of steps.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._gates import FRACTION_BITS, rounding_shift, saturate_gate, sigmoid_q16, tanh_q15
from edgeprune.ops._recurrent import Direction, Recurrent
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Lstm"]


class Lstm(Recurrent):
    """ONNX LSTM; gates in the order input, output, forget, cell."""

    name = "Lstm"
    onnx_types = ("LSTM",)
    gates = 4
    states = 2
    activations = ("sigmoid", "tanh", "tanh")
    refused = ("clip", "input_forget", "activation_alpha", "activation_beta")

    def fold_bias(self, node: OnnxNode, w_bias: Array, r_bias: Array) -> Array:
        return w_bias + r_bias

    def offsets(self, node: Node, over_x: Array, over_h: Array, bias: Array) -> Array:
        return saturate_gate(bias - rounding_shift(over_x + over_h, self.multipliers(node).shift))

    def step(
        self, node: Node, rows: Direction, products: Array, stored: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        total = rounding_shift(products + rows.hidden_products(stored), rows.shift)
        gates = saturate_gate(total + rows.offset.reshape(-1)).reshape(len(total), self.gates, -1)
        i, o, f = (sigmoid_q16(gates[:, gate]) for gate in range(3))
        cell = rounding_shift(f * c + 2 * i * tanh_q15(gates[:, 3]), FRACTION_BITS)
        return rounding_shift(o * tanh_q15(cell), FRACTION_BITS - 1), cell

    def float_step(
        self, node: Node, x: Array, r: Array, bias: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        gates = x + np.einsum("nk,ghk->ngh", h, r) + bias
        i, o, f = (1 / (1 + np.exp(-gates[:, gate])) for gate in range(3))
        cell = f * c + i * np.tanh(gates[:, 3])
        return o * np.tanh(cell), cell


OPERATOR = Lstm()
