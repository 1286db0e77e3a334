"""Integer arithmetic shared by the operators' references: the C kernels compute exactly this.

Source: the reference kernels of TensorFlow Lite (MultiplyByQuantizedMultiplier, double rounding), which TFLM
and CMSIS-NN follow too.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.ir import Array

__all__ = ["clamp_int8", "multiply_by_quantized_multiplier", "quantize_multiplier", "quantize_multipliers"]


def quantize_multiplier(real: float) -> tuple[int, int]:
    """`real` >= 0 as (multiplier, shift): real = multiplier / 2**31 * 2**shift, multiplier in [2**30, 2**31).

    Zero gives (0, 0); so does a value below 2**-31, as in TensorFlow Lite. A shift above 30 is clamped.
    """
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = round(mantissa * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return multiplier, shift


def quantize_multipliers(reals: Array) -> tuple[Array, Array]:
    """`quantize_multiplier` of each element: two int32 arrays."""
    pairs = [quantize_multiplier(float(real)) for real in np.ravel(reals)]
    return np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs], np.int32)


def multiply_by_quantized_multiplier(acc: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """Saturating rounding doubling high multiply, then rounding right shift (ties away from zero); int64 out.

    `acc` holds int32 values; `multiplier` and `shift` broadcast against it. The high multiply
    (acc * 2**left * multiplier + 2**30) >> 31 equals gemmlowp's form for multiplier >= 0, whose only
    saturating case needs two negative operands. A left shift saturates at int32.
    """
    acc64, shift64 = np.asarray(acc, np.int64), np.asarray(shift, np.int64)
    left, right = np.maximum(shift64, 0), np.maximum(-shift64, 0)
    shifted = np.clip(acc64 << left, -(1 << 31), (1 << 31) - 1)
    high = (shifted * np.asarray(multiplier, np.int64) + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    threshold = (mask >> 1) + (high < 0)
    result: Array = (high >> right) + (remainder > threshold)
    return result


def clamp_int8(values: Array, low: int = -128, high: int = 127) -> Array:
    """`values` clamped to [low, high], as int8."""
    return np.clip(values, low, high).astype(np.int8)
