"""The page of two reports side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edgeprune.report.compare_text import signed, title
from edgeprune.report.html.environment import render_html
from edgeprune.report.numbers import compact, count, is_known, milliseconds, points, score
from edgeprune.version import __version__

__all__ = ["Row", "comparison_html"]

_MOST_BARS, _MOST_ROWS = 120, 500
_HEADLINE = ("flash", "RAM", "latency")
_TEXT = 20.0
"""Percent of the chart's width kept free for the figure behind the longest bar."""


@dataclass(frozen=True)
class Row:
    """A figure of both; widths in percent, `better` None where less is not better, or nothing changed."""

    name: str
    a: str
    b: str
    difference: str
    ratio: str
    a_width: float
    b_width: float
    better: bool | None


def comparison_html(values: Mapping[str, Any]) -> str:
    """One self-contained HTML file from what `compare_reports` found."""
    layers = values["layers"]
    most = max((_known(row["cycles"][side]) for row in layers for side in ("a", "b")), default=0.0)
    bars = [_row(row["name"], row["cycles"], compact, most) for row in layers]
    totals = _totals(values)
    return render_html(
        "compare.html.j2",
        {
            "version": __version__,
            "a": title(values["a"]),
            "b": title(values["b"]),
            "totals": totals,
            "headline": [row for row in totals if row.name in _HEADLINE],
            "stages": _stages(values),
            "metric": (values["accuracy"] or {}).get("metric"),
            "layers": layers,
            "bars_shown": _longest(layers, bars),
            "signed": signed,
            "count": count,
            "most_rows": _MOST_ROWS,
        },
    )


def _totals(values: Mapping[str, Any]) -> list[Row]:
    shows: dict[str, Callable[[float | None], str]] = {"ms": milliseconds, "bytes": _bytes}
    known = [row for row in values["totals"] if row["a"] is not None or row["b"] is not None]
    return [_row(row["name"], row, shows.get(row["unit"], count)) for row in known]


def _stages(values: Mapping[str, Any]) -> list[Row]:
    accuracy = values["accuracy"]
    if accuracy is None:
        return []
    show, moved = partial(score, accuracy["metric"]), partial(points, accuracy["metric"])
    rows = [(row, _row(row["name"], row, show)) for row in accuracy["stages"]]
    return [replace(made, difference=signed(row["difference"], moved), better=None) for row, made in rows]


def _row(
    name: str,
    change: Mapping[str, Any],
    show: Callable[[float | None], str],
    most: float | None = None,
) -> Row:
    a, b, difference, ratio = (change[key] for key in ("a", "b", "difference", "ratio"))
    scale = most or max(_known(a), _known(b)) or 1.0
    room = 100 - _TEXT
    return Row(
        name,
        show(a),
        show(b),
        signed(difference, show),
        "" if ratio is None else f"{ratio:.3f}",
        room * _known(a) / scale,
        room * _known(b) / scale,
        difference < 0 if difference else None,
    )


def _longest(layers: list[Mapping[str, Any]], bars: list[Row]) -> list[Row]:
    """The bars of the layers that take most cycles, in their order."""
    cost = [max(_known(row["cycles"]["a"]), _known(row["cycles"]["b"])) for row in layers]
    chosen = sorted(sorted(range(len(bars)), key=lambda i: (-cost[i], i))[:_MOST_BARS])
    return [bars[i] for i in chosen]


def _known(value: float | None) -> float:
    return abs(value) if value is not None and is_known(value) else 0.0


def _bytes(value: float | None) -> str:
    return "" if value is None else f"{count(value)} B"
