"""What `benchmarks.sparse` measures, and where a pattern breaks even."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Row", "break_even"]


@dataclass(frozen=True)
class Row:
    """A pattern at a density; ratios are to the dense kernel's of the layer."""

    layer: str
    pattern: str
    density: float
    kernel: str
    cycles: int
    predicted: int
    flash: int
    cycles_ratio: float
    flash_ratio: float


def break_even(rows: Sequence[Row], layer: str, pattern: str, figure: str) -> float | None:
    """The density below which `figure`, a ratio, is less than 1: between the points measured, by a straight line.

    1 where it is less at all of them, None where it is at none.
    """
    points = sorted(
        (row.density, float(getattr(row, figure)))
        for row in rows
        if row.layer == layer and row.pattern == pattern
    )
    for (left, low), (right, high) in pairwise(points):
        if low < 1.0 <= high:
            return left + (1.0 - low) / (high - low) * (right - left)
    return 1.0 if points[-1][1] < 1.0 else None
