"""How `edgeprune analyze` shows its estimates."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.analyze import Alternative, Analysis
from edgeprune.report.terminal import new_table, printable

__all__ = ["analysis_tables"]


def analysis_tables(analysis: Analysis) -> RenderableType:
    """The per-layer table, the totals, and what else is possible."""
    head = Text(f"{printable(analysis.model)} on {analysis.device}: estimates, nothing was built", "bold")
    totals = Text(
        f"{analysis.macs:,} multiply-accumulates, {analysis.parameters:,} parameters; "
        "flash without start-up code, RAM without stack"
    )
    return Group(head, _layers(analysis), totals, Text(), _alternatives(analysis))


def _layers(analysis: Analysis) -> Table:
    table = new_table("layer", "op", "kernel", "output", right=("MACs", "cycles", "flash B", "RAM alive B"))
    for row in analysis.layers:
        shape = "\N{MULTIPLICATION SIGN}".join(map(str, row.shape[1:]))
        numbers = (row.macs, row.cycles, row.flash_bytes, row.alive_bytes)
        names = (printable(row.name), row.op, row.kernel, shape)
        table.add_row(*map(Text, names), *(f"{number:,}" for number in numbers))
    return table


def _alternatives(analysis: Analysis) -> Table:
    table = new_table("device", "optimised for", right=("flash B", "arena B", "ms", "fits"))
    for row in (analysis.chosen, *analysis.alternatives):
        table.add_row(*_cells(row), style="bold" if row is analysis.chosen else "")
    return table


def _cells(row: Alternative) -> tuple[str | Text, ...]:
    ms = "" if row.ms is None else f"{row.ms:.2f}"
    mark = Text("\N{CHECK MARK}", "green") if row.fits else Text("\N{BALLOT X}", "red")
    return Text(row.device), row.optimize, f"{row.flash_bytes:,}", f"{row.arena_bytes:,}", ms, mark
