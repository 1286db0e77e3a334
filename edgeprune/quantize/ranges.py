"""From histograms to scales: which real range of an activation its 256 int8 levels cover.

Three rules are known, and `quantize` keeps the one whose network is nearest to the float network on the
calibration data, for none is best everywhere:

* "min-max": everything observed. Best where rare large values matter (regression, recurrent states).
* "least-squares": the range with the least mean squared error of rounding and saturation together, searched
  over both ends. Usually best for convolutional networks.
* "percentile": leaves out the 0.01 % at either end, whatever they cost.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Quant
from edgeprune.quantize.observe import Histogram

__all__ = ["RULES", "activation_quant", "choose_range", "symmetric_scale"]

RULES = ("min-max", "least-squares", "percentile")

_TAIL = 1e-4
_SHRINK = np.geomspace(1.0, 0.05, 48)
_SMALLEST_SCALE = 2.0**-60


def choose_range(histogram: Histogram, rule: str) -> tuple[float, float]:
    """The real range [low, high] that `rule` covers, before zero is included."""
    if rule == "min-max" or histogram.high <= histogram.low:
        return histogram.low, histogram.high
    if rule == "percentile":
        return _percentile(histogram)
    assert rule == "least-squares", rule
    return _least_squares(histogram)


def _percentile(histogram: Histogram) -> tuple[float, float]:
    cumulative = np.cumsum(histogram.counts) / histogram.counts.sum()
    first = int(np.searchsorted(cumulative, _TAIL, side="right"))
    last = int(np.searchsorted(cumulative, 1 - _TAIL))
    centers = histogram.centers
    low = histogram.low if first == 0 else float(centers[first])
    high = histogram.high if last >= len(centers) - 1 else float(centers[last])
    return low, high


def _least_squares(histogram: Histogram) -> tuple[float, float]:
    """Coordinate descent over shrunken ends: high, low, then high again."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    best_low, best_high = low, high
    for end in ("high", "low", "high"):
        if end == "high" and high > 0:
            best_high = min((high * s for s in _SHRINK), key=lambda value: _error(histogram, best_low, value))
        elif end == "low" and low < 0:
            best_low = min((low * s for s in _SHRINK), key=lambda value: _error(histogram, value, best_high))
    return best_low, best_high


def _error(histogram: Histogram, low: float, high: float) -> float:
    quant = activation_quant(low, high)
    scale, zero = quant.scale[0], quant.zero_point[0]
    centers = histogram.centers
    stored = np.clip(np.rint(centers / scale) + zero, -128, 127)
    # Within a bin values are spread: rounding costs scale**2 / 12 where the value is not cut.
    inside = (centers >= (-128 - zero) * scale) & (centers <= (127 - zero) * scale)
    error = np.where(inside, scale * scale / 12, np.square((stored - zero) * scale - centers))
    # Exact zeros, frequent behind a ReLU, are stored exactly.
    zero_bin = int(
        np.clip((0.0 - histogram.low) / (histogram.high - histogram.low) * len(centers), 0, len(centers) - 1)
    )
    if histogram.low <= 0 <= histogram.high:
        error[zero_bin] = 0.0
    return float((error * histogram.counts).sum())


def activation_quant(low: float, high: float) -> Quant:
    """int8 parameters that cover [low, high] and represent zero exactly; scale is a float32."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255.0, _SMALLEST_SCALE))) if high > low else 1.0 / 256
    zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
    return Quant.per_tensor(scale, zero_point)


def symmetric_scale(largest: float) -> float:
    """The float32 scale at which int8 in [-127, 127] covers [-largest, largest]."""
    return float(np.float32(max(largest / 127.0, _SMALLEST_SCALE))) if largest > 0 else 1.0 / 128
