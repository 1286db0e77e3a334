"""The trade-off curve as a picture: accuracy against flash, RAM and latency."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_sweep"]

_BLUE, _GREY, _INK = "#1f5fa8", "#8a929c", "#333333"
_PANELS = (
    ("flash", 1024.0, "flash (KiB)"),
    ("ram", 1024.0, "RAM (KiB)"),
    ("latency_ms", 1.0, "latency (ms)"),
)
_SERIES = (("pruned", "float", _GREY, "--", 4.0), ("emulated", "int8, as run", _BLUE, "-", 6.0))


def draw_sweep(title: str, points: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """The picture as "svg" and "png"; nothing where no point has an accuracy to show.

    Args:
        title: What was swept.
        points: The points of a `sweep.json`; those that do not fit are left out.
    """
    shown = [
        point for point in points if point["fits"] and (point["accuracy"] or {}).get("emulated") is not None
    ]
    if not shown:
        return {}
    import matplotlib
    from matplotlib.figure import Figure

    metric = shown[0]["accuracy"]["metric"]
    percent = "accuracy" in metric
    with matplotlib.rc_context({"svg.hashsalt": "edgeprune", "font.size": 10, "text.color": _INK}):
        figure = Figure(figsize=(12, 4.2), layout="constrained", facecolor="white")
        figure.suptitle(title, x=0.01, ha="left")
        panels = figure.subplots(1, len(_PANELS), sharey=True)
        for panel, (key, unit, label) in zip(panels, _PANELS, strict=True):
            _draw_panel(panel, shown, key, unit, 100.0 if percent else 1.0)
            panel.set_xlabel(label)
        panels[0].set_ylabel(f"{metric} (%)" if percent else metric)
        figure.legend(
            *panels[0].get_legend_handles_labels(), frameon=False, loc="outside upper right", ncols=2
        )
        return {kind: _saved(figure, kind) for kind in ("svg", "png")}


def _draw_panel(
    panel: Axes, points: Sequence[Mapping[str, Any]], key: str, unit: float, scale: float
) -> None:
    panel.grid(color="#e3e6ea", linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    known = sorted((point for point in points if point[key] is not None), key=lambda point: float(point[key]))
    if not known:
        panel.text(0.5, 0.5, "not known for this device", ha="center", transform=panel.transAxes, color=_GREY)
        return
    for stage, label, colour, line, size in _SERIES:
        rows = [(point[key] / unit, _stage(point, stage)) for point in known]
        xs, ys = zip(*((x, scale * y) for x, y in rows if y is not None), strict=True)
        panel.plot(xs, ys, line, marker="o", markersize=size, color=colour, label=label, linewidth=1.6)
    _mark_unpruned(panel, known, key, unit, scale)
    panel.margins(x=0.1, y=0.18)
    panel.set_xlim(left=0)


def _stage(point: Mapping[str, Any], stage: str) -> float | None:
    """The metric at a stage; a network that was not pruned has the original's for "pruned"."""
    accuracy = point["accuracy"]
    value: float | None = accuracy[stage]
    original: float | None = accuracy["float"]
    return original if value is None and stage == "pruned" else value


def _mark_unpruned(
    panel: Axes, points: Sequence[Mapping[str, Any]], key: str, unit: float, scale: float
) -> None:
    for point in points:
        if not point["pruned"]:
            x, y = point[key] / unit, scale * point["accuracy"]["emulated"]
            panel.plot([x], [y], "o", markersize=13, markerfacecolor="none", markeredgecolor=_INK)
            panel.annotate(
                "unpruned", (x, y), (0, 10), textcoords="offset points", ha="center", va="bottom", color=_INK
            )


def _saved(figure: Any, kind: str) -> bytes:
    """The picture as a file; no date in it, so that the same curve gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return file.getvalue()
