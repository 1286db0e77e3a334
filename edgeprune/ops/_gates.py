"""Fixed-point arithmetic of recurrent gates: what Lstm and Gru share with their kernels.

Formats: a pre-activation and a state (the cell of Lstm, the hidden vector of Gru) are int32 in units of 2**-16,
"Q16"; tanh is in units of 2**-15, "Q15"; sigmoid in units of 2**-16.

tanh of a Q16 value v: the magnitude is cut at 6 (1 - tanh(6) is 0.4 units of Q15), its upper bits pick one of
192 intervals of 1/32, its lower 11 bits interpolate linearly between the table's entries, round(2**15 tanh(i /
32)) but at most 2**15 - 1. The largest error against tanh, over every v, is 1.16e-4 (3.8 units); the
interpolation's own bound is h**2 / 8 max|tanh''| = 9.4e-5. sigmoid(v) = (1 + tanh(v / 2)) / 2 uses the same
table, with an error of at most 6.1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array, freeze
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier

__all__ = [
    "FRACTION_BITS",
    "GATE_LIMIT",
    "TANH_TABLE",
    "Rescale",
    "rounding_shift",
    "saturate_gate",
    "sigmoid_q16",
    "tanh_q15",
]

FRACTION_BITS = 16
"""Fractional bits of pre-activations and states."""
GATE_LIMIT = 1 << 30
"""Pre-activations saturate at this magnitude (16,384 as a real number)."""

_STEPS_PER_UNIT = 32
_LIMIT = 6
_INTERPOLATION_BITS = 11
_LARGEST = (_LIMIT << FRACTION_BITS) - 1

TANH_TABLE: Array = freeze(
    np.minimum(
        np.rint(np.tanh(np.arange(_LIMIT * _STEPS_PER_UNIT + 1) / _STEPS_PER_UNIT) * (1 << 15)), (1 << 15) - 1
    ).astype(np.int16)
)
"""round(2**15 tanh(i / 32)) for i = 0 ... 192, saturated at int16."""


def rounding_shift(value: Array, shift: int) -> Array:
    """value / 2**shift, rounded to nearest, ties upwards; shift >= 1."""
    result: Array = (value + (np.int64(1) << (shift - 1))) >> shift
    return result


def saturate_gate(value: Array) -> Array:
    """`value` within +-GATE_LIMIT."""
    saturated: Array = np.clip(value, -GATE_LIMIT, GATE_LIMIT)
    return saturated


def tanh_q15(value: Array) -> Array:
    """tanh of Q16 values, in Q15 (int64)."""
    magnitude = np.minimum(np.abs(value), _LARGEST)
    index = magnitude >> _INTERPOLATION_BITS
    part = magnitude & ((1 << _INTERPOLATION_BITS) - 1)
    table = TANH_TABLE.astype(np.int64)
    interpolated = table[index] + rounding_shift(
        (table[index + 1] - table[index]) * part, _INTERPOLATION_BITS
    )
    signed: Array = np.where(value < 0, -interpolated, interpolated)
    return signed


def sigmoid_q16(value: Array) -> Array:
    """Sigmoid of Q16 values, in Q16 (int64): 1 ... 65,535."""
    result: Array = (1 << 15) + tanh_q15(value >> 1)
    return result


@dataclass(frozen=True)
class Rescale:
    """Stored value -> stored value at another scale: zero_out + requantize(value - zero_in, multiplier, shift)."""

    zero_in: int
    multiplier: int
    shift: int
    zero_out: int = 0

    def apply(self, value: Array) -> Array:
        """The rescaled values, not clamped (int64)."""
        centred = np.asarray(value, np.int64) - self.zero_in
        return multiply_by_quantized_multiplier(centred, self.multiplier, self.shift) + self.zero_out

    def to_int8(self, value: Array) -> Array:
        """The rescaled values, clamped to int8."""
        return clamp_int8(self.apply(value))
