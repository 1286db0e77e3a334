"""The page of a sweep: accuracy against flash, RAM and latency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from edgeprune.report.html.environment import render_html
from edgeprune.report.numbers import compact, count, is_known, milliseconds, score

__all__ = ["Curve", "Dot", "grid_html", "sweep_html"]

_AXES = (("flash", "Flash, bytes"), ("ram", "RAM, bytes"), ("latency_ms", "Latency, ms"))
_LEFT, _RIGHT = 16.0, 94.0
"""Where the axis begins and where the largest value stands; percent of the width."""
_TOP, _BOTTOM, _HEIGHT = 18, 190, 226
_MOST_ROWS = 500


@dataclass(frozen=True)
class Dot:
    """A point; `x` in percent, `y` in pixels."""

    x: float
    y: float
    title: str
    pruned: bool


@dataclass(frozen=True)
class Curve:
    """The metric against one quantity."""

    title: str
    dots: tuple[Dot, ...]
    segments: tuple[tuple[Dot, Dot], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    height: int
    left: float
    bottom: int


def sweep_html(sweep: Mapping[str, Any]) -> str:
    """One self-contained HTML file from the values of `sweep.json`: a curve per budget, and all points in a table."""
    return render_html("sweep.html.j2", _shown(sweep))


def grid_html(sweeps: Mapping[str, Mapping[str, Any]]) -> str:
    """One self-contained HTML file of several sweeps: the values of each `sweep.json` by the name of its folder."""
    version = next(iter(sweeps.values()))["edgeprune"]
    shown = [{"folder": folder, **_shown(sweep)} for folder, sweep in sweeps.items()]
    return render_html("grid.html.j2", {"version": version, "sweeps": shown})


def _shown(sweep: Mapping[str, Any]) -> dict[str, Any]:
    points: Sequence[Mapping[str, Any]] = sweep["points"]
    return {
        "sweep": sweep,
        "metric": next((p["accuracy"]["metric"] for p in points if p["accuracy"]), None),
        "curves": tuple(curve for key, title in _AXES if (curve := _curve(points, key, title))),
        "rows": [_row(point) for point in points[:_MOST_ROWS]],
        "most_rows": _MOST_ROWS,
    }


def _row(point: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = point["accuracy"] or {}
    metric = accuracy.get("metric", "")
    in_float = accuracy.get("pruned") if point["pruned"] else accuracy.get("float")
    return {
        "number": point["number"],
        "flash": count(point["flash"]),
        "ram": count(point["ram"]),
        "latency": milliseconds(point["latency_ms"]),
        "macs": count(point["macs"]),
        "parameters": count(point["parameters"]),
        "float": score(metric, in_float),
        "emulated": score(metric, accuracy.get("emulated")),
        "result": point["bundle"] if point["fits"] else point["reason"],
        "fits": point["fits"],
    }


def _curve(points: Sequence[Mapping[str, Any]], key: str, title: str) -> Curve | None:
    """The curve over what is known, or None where that is nothing."""
    known = [
        (point, float(point[key]), float(point["accuracy"]["emulated"]))
        for point in points
        if point["fits"]
        and is_known(point[key])
        and point["accuracy"] is not None
        and is_known(point["accuracy"]["emulated"])
    ]
    if not known:
        return None
    known.sort(key=lambda one: one[1])
    metric = known[0][0]["accuracy"]["metric"]
    most = max(x for _, x, _ in known) or 1.0
    low, high = _range([y for _, _, y in known], 1.0 if "accuracy" in metric else math.inf)
    show = milliseconds if key == "latency_ms" else count
    dots = tuple(
        Dot(
            _LEFT + (_RIGHT - _LEFT) * x / most,
            round(_BOTTOM - (_BOTTOM - _TOP) * (y - low) / (high - low), 1),
            f"point {point['number']}: {show(x)}, {score(metric, y)}{'' if point['pruned'] else ', unpruned'}",
            bool(point["pruned"]),
        )
        for point, x, y in known
    )
    return Curve(
        title,
        dots,
        tuple(pairwise(dots)),
        tuple((_LEFT + (_RIGHT - _LEFT) * i / 2, _tick(key, most * i / 2)) for i in range(3)),
        tuple(
            (_BOTTOM - (_BOTTOM - _TOP) * i / 2, score(metric, low + (high - low) * i / 2)) for i in range(3)
        ),
        _HEIGHT,
        _LEFT,
        _BOTTOM,
    )


def _tick(key: str, value: float) -> str:
    return f"{value:.3g}" if key == "latency_ms" else compact(value)


def _range(values: Sequence[float], ceiling: float) -> tuple[float, float]:
    """From below the least to above the most, but not above `ceiling` if no value is; never empty."""
    low, high = min(values), max(values)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, max(high, min(high + margin, ceiling))
