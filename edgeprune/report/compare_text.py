"""A comparison of two reports as rich tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.report.numbers import count, milliseconds, points, score
from edgeprune.report.terminal import new_table
from edgeprune.report.text import printable

__all__ = ["comparison_text", "signed", "title"]

_MINUS = "\N{MINUS SIGN}"
_LAYER_FIGURES = ("cycles", "flash")


def comparison_text(values: Mapping[str, Any]) -> RenderableType:
    """Totals, accuracy and layers; what became less is green, what became more red, except for the metric."""
    parts: list[RenderableType] = [
        Text("A  ", "bold") + Text(title(values["a"])),
        Text("B  ", "bold") + Text(title(values["b"])),
        Text(),
        _totals(values),
    ]
    if values["layers"]:
        parts += [Text(), _layers(values)]
    return Group(*parts)


def title(about: Mapping[str, Any]) -> str:
    """What a report is of, on one line."""
    verdict = "" if about["fits"] else ", does not fit"
    arrow = "\N{RIGHTWARDS ARROW}"
    place = f"{about['bundle']}: " if about["bundle"] else ""
    return (
        f"{place}{printable(about['model'])} {arrow} {printable(about['device'])}, {about['dtype']}{verdict}"
    )


def signed(value: float | None, show: Callable[[float], str]) -> str:
    """`+1,024`, with a real minus, or `=` where nothing changed."""
    if value is None:
        return ""
    return "=" if value == 0 else f"{'+' if value > 0 else _MINUS}{show(abs(value))}"


def _totals(values: Mapping[str, Any]) -> Table:
    table = new_table("", right=("A", "B", "difference", "B / A"))
    for row in values["totals"]:
        show = milliseconds if row["unit"] == "ms" else _with_unit(row["unit"])
        _add(table, row["name"], row, show, show, less_is_better=True)
    accuracy = values["accuracy"]
    for row in [] if accuracy is None else accuracy["stages"]:
        metric = accuracy["metric"]
        show, moved = partial(score, metric), partial(points, metric)
        _add(table, f"{metric}, {row['name']}", row, show, moved, less_is_better=None)
    return table


def _with_unit(unit: str) -> Callable[[float], str]:
    return (lambda value: f"{count(value)} B") if unit == "bytes" else count


def _add(
    table: Table,
    name: str,
    row: Mapping[str, Any],
    show: Callable[[float], str],
    show_difference: Callable[[float], str],
    less_is_better: bool | None,
) -> None:
    if row["a"] is None and row["b"] is None:
        return
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
    shown = ["" if row[side] is None else show(row[side]) for side in ("a", "b")]
    change = Text(signed(row["difference"], show_difference), _style(row["difference"], less_is_better))
    table.add_row(Text(printable(name)), *shown, change, ratio)


def _style(difference: float | None, less_is_better: bool | None) -> str:
    if not difference or less_is_better is None:
        return ""
    return "green" if (difference < 0) == less_is_better else "red"


def _layers(values: Mapping[str, Any]) -> Table:
    table = new_table("layer", "kernel")
    for figure in _LAYER_FIGURES:
        for heading in (f"{figure} A", "B", "difference"):
            table.add_column(heading, justify="right", no_wrap=True)
    for row in values["layers"]:
        cells: list[Text] = []
        for figure in _LAYER_FIGURES:
            change = row[figure]
            cells += [Text(count(change["a"])), Text(count(change["b"]))]
            cells.append(Text(signed(change["difference"], count), _style(change["difference"], True)))
        table.add_row(Text(printable(row["name"])), _kernels(row), *cells)
    return table


def _kernels(row: Mapping[str, Any]) -> Text:
    a, b = (None if name is None else printable(name) for name in row["kernel"].values())
    if row["only_in"] is not None:
        return Text(b or a or "") + Text(f"  only in {row['only_in'].upper()}", "dim")
    return Text(str(a) if a == b else f"{a}\n\N{RIGHTWARDS ARROW} {b}")
