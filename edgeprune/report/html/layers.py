"""Bars for what each layer takes: cycles, flash and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeprune.report.numbers import compact, count, percent

__all__ = ["MOST_BARS", "Bar", "LayerChart", "LayerRow", "layer_chart"]

MOST_BARS = 120
"""Layers in the chart; of a deeper network, those that take most. The table has all."""
_MEASURES = (("cycles", "Cycles"), ("flash", "Flash, bytes"), ("macs", "MACs"))
_GAP, _TEXT = 2.0, 11.0
"""Between two columns, and kept free for the figure behind the longest bar; percent of the chart's width."""
ROW_HEIGHT, HEAD_HEIGHT = 44, 30


@dataclass(frozen=True)
class Bar:
    """A bar and the figure behind it; `x` and `width` in percent of the chart."""

    x: float
    width: float
    text: str
    title: str
    series: int


@dataclass(frozen=True)
class LayerRow:
    """A layer's bars, `y` pixels from the top of the chart."""

    index: int
    name: str
    op: str
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class LayerChart:
    """The chart: its columns with their totals, and a row per layer."""

    columns: tuple[tuple[float, str, str], ...]
    """Per column its x in percent, its title and its total."""
    rows: tuple[LayerRow, ...]
    height: int
    hidden: int
    """How many layers are left out."""


def layer_chart(report: Mapping[str, Any]) -> LayerChart:
    """Bars in the order in which layers run; each column has a scale of its own."""
    layers: Sequence[Mapping[str, Any]] = report["layers"]
    shown = sorted(
        sorted(range(len(layers)), key=lambda i: (-(layers[i]["cycles"] or 0), i))[:MOST_BARS],
    )
    span = (100 + _GAP) / len(_MEASURES)
    sums = {key: sum(layer[key] or 0 for layer in layers) for key, _ in _MEASURES}
    most = {key: max((layer[key] or 0 for layer in layers), default=0) for key, _ in _MEASURES}
    rows = []
    for place, index in enumerate(shown):
        layer, bars = layers[index], []
        for column, (key, title) in enumerate(_MEASURES):
            value = layer[key]
            width = (span - _GAP - _TEXT) * (value or 0) / max(1, most[key])
            share = percent((value or 0) / max(1, sums[key]))
            said = "not known" if value is None else f"{count(value)}, {share} of all"
            bars.append(Bar(column * span, width, compact(value), f"{title}: {said}", column + 1))
        rows.append(
            LayerRow(index, layer["name"], layer["op"], HEAD_HEIGHT + place * ROW_HEIGHT, tuple(bars))
        )
    columns = tuple((i * span, title, compact(sums[key])) for i, (key, title) in enumerate(_MEASURES))
    return LayerChart(columns, tuple(rows), HEAD_HEIGHT + len(rows) * ROW_HEIGHT, len(layers) - len(shown))
