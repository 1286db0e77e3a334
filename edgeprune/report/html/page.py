"""The page of one report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.report.html.budgets import gauges
from edgeprune.report.html.environment import render_html
from edgeprune.report.html.layers import MOST_BARS, layer_chart
from edgeprune.report.html.memory import map_charts
from edgeprune.report.html.reproduce import commands
from edgeprune.report.html.stages import group_bars, stage_bars
from edgeprune.report.pruning_text import pruning_facts
from edgeprune.report.zeros import zeros_facts

__all__ = ["report_html"]

_MOST_ROWS = 500
"""Rows of a table; what is longer is cut, with a word about it, so that the page stays below a megabyte."""


def report_html(report: Mapping[str, Any]) -> str:
    """One self-contained HTML file, without scripts and without a word to the network, from `report.json` alone.

    Args:
        report: As `make_report` made it, or as `load_report` read and checked it.
    """
    return render_html(
        "report.html.j2",
        {
            "report": report,
            "gauges": gauges(report),
            "layers": layer_chart(report),
            "maps": map_charts(report),
            "groups": group_bars(report),
            "stages": stage_bars(report),
            "facts": pruning_facts(report) + zeros_facts(report["layers"] or []),
            "commands": commands(report),
            "most_rows": _MOST_ROWS,
            "most_bars": MOST_BARS,
        },
    )
