"""Two reports side by side."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from edgeprune.report.compare import compare_reports
from edgeprune.report.compare_text import comparison_text
from tests.support.reports import hostile_report, refused_report, small_report


def _names(*names: str) -> dict[str, Any]:
    report = small_report()
    layer = report["layers"][0]
    return report | {"layers": [{**layer, "name": name} for name in names]}


def _total(values: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in values["totals"] if row["name"] == name)


def test_differences_are_b_less_a() -> None:
    b = small_report()
    b["flash"]["total"] = 1536
    b["layers"][2] |= {"cycles": 2000, "kernel": "other"}
    values = compare_reports(small_report(), b)
    assert _total(values, "flash") == {
        "name": "flash", "unit": "bytes", "a": 3072, "b": 1536, "difference": -1536, "ratio": 0.5,
    }  # fmt: skip
    head = values["layers"][2]
    assert head["cycles"]["difference"] == -100
    assert head["kernel"] == {"a": "fully_connected_s8_dsp", "b": "other"}
    assert values["accuracy"]["stages"][3]["ratio"] == 1
    assert json.loads(json.dumps(values)) == values


def test_a_layer_of_one_side_stands_where_it_runs() -> None:
    values = compare_reports(_names("a", "b", "d"), _names("z", "a", "c", "d", "e"))
    assert [(row["name"], row["only_in"]) for row in values["layers"]] == [
        ("z", "b"), ("a", None), ("c", "b"), ("b", "a"), ("d", None), ("e", "b"),
    ]  # fmt: skip


def test_layers_of_one_name_are_matched_in_turn() -> None:
    values = compare_reports(_names("a", "a"), _names("a", "a", "a"))
    assert [row["only_in"] for row in values["layers"]] == [None, None, "b"]


def test_what_is_not_known_is_null() -> None:
    values = compare_reports(small_report() | {"latency": None}, refused_report())
    assert _total(values, "latency")["a"] is None
    assert _total(values, "flash") == {
        "name": "flash", "unit": "bytes", "a": 3072, "b": None, "difference": None, "ratio": None,
    }  # fmt: skip
    assert all(row["only_in"] == "a" for row in values["layers"])


def test_different_metrics_are_not_compared() -> None:
    other = small_report()
    other["accuracy"]["metric"] = "mean error"
    assert compare_reports(small_report(), other)["accuracy"] is None


def test_in_the_terminal() -> None:
    b = small_report()
    b["layers"][0] |= {"cycles": 7000, "kernel": "conv_s8_c"}
    b["accuracy"]["emulated"] = 0.92
    shown = _shown(compare_reports(small_report(), b, ("one", "two")))
    for words in (
        "one: tiny",
        "two: tiny",
        "\N{MINUS SIGN}2,000",
        "conv_s8_c",
        "\N{MINUS SIGN}1.5 points",
        "1.000",
    ):
        assert words in shown
    assert "\x1b" not in _shown(compare_reports(hostile_report(), refused_report()))


def _shown(values: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=132, record=True)
    console.print(comparison_text(values))
    return console.export_text()
