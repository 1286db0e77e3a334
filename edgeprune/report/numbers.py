"""Figures as people read them; what is not known is an empty text."""

from __future__ import annotations

import math

__all__ = ["compact", "count", "is_known", "milliseconds", "percent", "points", "score"]

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def is_known(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def count(value: float | None) -> str:
    """`12,345`."""
    return "" if value is None else f"{value:,.0f}" if math.isfinite(value) else "not a number"


def compact(value: float | None) -> str:
    """At most six characters, three digits of them significant: `12.3k`."""
    if value is None:
        return ""
    for unit, letter in _UNITS:
        if abs(value) >= unit * 0.9995:
            scaled = value / unit
            digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:.{digits}f}{letter}"
    return f"{value:.0f}"


def milliseconds(value: float | None) -> str:
    """`4.85 ms`; three digits at least of what is short."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not a number"
    return f"{value:,.2f} ms" if abs(value) >= 1 else f"{value:.3g} ms"


def percent(share: float | None) -> str:
    """`98 %`, with a decimal below ten."""
    if share is None:
        return ""
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def score(metric: str, value: float | None) -> str:
    """A value of the task's metric: accuracies in percent, others as they are."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not a number"
    return f"{100 * value:.1f} %" if "accuracy" in metric else f"{value:.4g}"


def points(metric: str, difference: float | None) -> str:
    """A difference of the task's metric: accuracies in percentage points, others as they are."""
    if difference is None:
        return ""
    if not math.isfinite(difference):
        return "not a number"
    return f"{100 * difference:.1f} points" if "accuracy" in metric else f"{difference:.4g}"
