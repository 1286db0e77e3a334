"""The curves of `benchmarks.sparse` as a picture: cycles and flash against density, the dense kernel at 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.sparse_rows import Row

__all__ = ["draw"]

_COLOURS = {
    "shared by 16": "#1f5fa8",
    "block 2x4": "#2e8b57",
    "block 8x4": "#2e8b57",
    "unstructured": "#b5532b",
}
_INK, _GREY = "#333333", "#8a929c"


def draw(rows: Sequence[Row], device: str, place: Path) -> None:
    """Writes an SVG: a column for each layer, cycles above and bytes of constants below."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    with matplotlib.rc_context(
        {"svg.hashsalt": "edgeprune", "svg.fonttype": "none", "font.size": 9, "text.color": _INK}
    ):
        figure = Figure(figsize=(3.1 * len(layers), 5.6), layout="constrained")
        axes = figure.subplots(2, len(layers), squeeze=False, sharex=True, sharey=True)
        for column, layer in enumerate(layers):
            own = [row for row in rows if row.layer == layer and row.pattern != "dense"]
            axes[0][column].set_title(layer, fontsize=9)
            for line, figure_of in ((0, "cycles_ratio"), (1, "flash_ratio")):
                _panel(axes[line][column], own, figure_of)
            axes[1][column].set_xlabel("share of weights left")
        axes[0][0].set_ylabel("cycles / dense")
        axes[1][0].set_ylabel("bytes of constants / dense")
        axes[0][0].legend(frameon=False, fontsize=8)
        axes[0][-1].legend(frameon=False, fontsize=8)
        figure.suptitle(f"Sparse kernels on {device}, over the fastest dense direct kernel", fontsize=10)
        figure.savefig(place, format="svg", metadata={"Date": None})


def _panel(axes: Axes, rows: Sequence[Row], figure_of: str) -> None:
    axes.axhline(1.0, color=_GREY, linewidth=1.0, linestyle="--")
    for pattern in dict.fromkeys(row.pattern for row in rows):
        points = sorted((row.density, getattr(row, figure_of)) for row in rows if row.pattern == pattern)
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=3, color=_COLOURS[pattern], label=pattern
        )
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.3)
    axes.grid(color="#e4e7eb", linewidth=0.6)
