"""Bars for accuracy at each stage, and for channels before and after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.report.numbers import is_known, percent, score

__all__ = ["GroupBar", "StageBar", "group_bars", "stage_bars"]

_STAGES = (
    ("float", "float, as given"),
    ("pruned", "float, pruned and trained"),
    ("int8", "int8 in ONNX Runtime"),
    ("emulated", "int8, the library as run"),
)


@dataclass(frozen=True)
class StageBar:
    """The metric at a stage; `width` in percent."""

    name: str
    value: str
    width: float


@dataclass(frozen=True)
class GroupBar:
    """A group's channels; widths in percent of the widest group."""

    name: str
    before: int
    after: int
    before_width: float
    after_width: float
    kept: str


def stage_bars(report: Mapping[str, Any]) -> tuple[StageBar, ...]:
    """The stages at which the metric was measured."""
    accuracy = report["accuracy"]
    if accuracy is None:
        return ()
    found = [(title, accuracy[key]) for key, title in _STAGES if accuracy[key] is not None]
    metric = accuracy["metric"]
    most = 1.0 if "accuracy" in metric else max([abs(v) for _, v in found if is_known(v)], default=0.0)
    return tuple(StageBar(title, score(metric, value), _width(value, most)) for title, value in found)


def _width(value: float, most: float) -> float:
    return min(100.0, 100 * abs(value) / most) if is_known(value) and most else 0.0


def group_bars(report: Mapping[str, Any]) -> tuple[GroupBar, ...]:
    """A bar per group of coupled channels."""
    groups = (report["pruning"] or {}).get("groups", ())
    widest = max((group["before"] for group in groups), default=1)
    return tuple(
        GroupBar(
            group["name"],
            group["before"],
            group["after"],
            100 * group["before"] / widest,
            100 * min(group["after"], group["before"]) / widest,
            percent(group["after"] / group["before"]),
        )
        for group in groups
    )
