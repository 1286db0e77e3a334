"""The verbs `report` and `compare`: what was found, in the terminal, as JSON and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from edgeprune.cli.arguments import Debug, File, Json
from edgeprune.cli.ending import Outcome, conclude
from edgeprune.cli.terminal import Terminal
from edgeprune.errors import EnvironmentFailure, UsageError

__all__ = ["COMPARE_EXAMPLE", "REPORT_EXAMPLE", "compare", "report"]

REPORT_EXAMPLE = "Example: edgeprune report build/kws-nucleo-l4r5zi --html -o kws.html"
COMPARE_EXAMPLE = "Example: edgeprune compare build/kws-before build/kws-after --html difference.html"
_PAGE = "report.html"

_Place = Annotated[
    Path, typer.Argument(metavar="DIR", help="A bundle, the folder of a sweep, or a report.json.")
]
_A = Annotated[Path, typer.Argument(metavar="A", help="A bundle, or a report.json.")]
_B = Annotated[Path, typer.Argument(metavar="B", help="What to compare with it.")]


def report(
    directory: _Place,
    html: Annotated[
        bool, typer.Option("--html", help=f"Write the page again, to {_PAGE} of the folder or to -o FILE.")
    ] = False,
    output: Annotated[
        File, typer.Option("-o", "--output", metavar="FILE", help="Where --html writes the page.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="[REGION:]OFFSET[@STEP]",
            help="Say what this byte of the arena holds, at a step or at every one.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what was found once more: the summary and the memory map of a bundle, or the points of a sweep."""

    def body(terminal: Terminal) -> Outcome:
        return _report(directory, html, output) if owner is None else _owner(directory, owner, html)

    conclude(body, as_json, debug)


def compare(
    a: _A,
    b: _B,
    html: Annotated[
        File, typer.Option("--html", metavar="FILE", help="Write the comparison as a page, too.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two bundles: flash, RAM, latency, accuracy, and layer by layer."""

    def body(terminal: Terminal) -> Outcome:
        return _compare(a, b, html)

    conclude(body, as_json, debug)


def _report(place: Path, html: bool, output: Path | None) -> Outcome:
    from edgeprune.report.load import load

    if output is not None and not html:
        raise UsageError("-o names the page that --html writes: add --html, or leave -o out")
    found = load(place)
    if found.is_sweep:
        from edgeprune.cli.sweeping import points_table

        parts: list[RenderableType] = [points_table(found.values["points"])]
    else:
        from edgeprune.report.memory_map import memory_maps
        from edgeprune.report.memory_text import memory_text
        from edgeprune.report.terminal import summary

        parts = [summary(found.values, found.directory)]
        for memory in memory_maps(found.values):
            parts += [Text(), memory_text(memory)]
    if html:
        from edgeprune.report.html import report_html, sweep_html

        page = output or (found.directory or place.parent) / _PAGE
        _write(page, (sweep_html if found.is_sweep else report_html)(found.values))
        parts += [Text(), Text("page: ", "bold") + Text(str(page))]
    return Outcome(found.values, Group(*parts))


def _owner(place: Path, question: str, html: bool) -> Outcome:
    from edgeprune.report.byte_owners import byte_owners, owners_text, owners_values
    from edgeprune.report.load import load_report

    if html:
        raise UsageError("--owner answers in the terminal or as JSON: leave --html out")
    owned = byte_owners(load_report(place), question)
    return Outcome(owners_values(owned), owners_text(owned))


def _compare(a: Path, b: Path, html: Path | None) -> Outcome:
    from edgeprune.report.compare import compare_reports
    from edgeprune.report.compare_text import comparison_text
    from edgeprune.report.load import load_report

    values = compare_reports(load_report(a), load_report(b), (str(a), str(b)))
    parts = [comparison_text(values)]
    if html is not None:
        from edgeprune.report.html import comparison_html

        _write(html, comparison_html(values))
        parts += [Text(), Text("page: ", "bold") + Text(str(html))]
    return Outcome(values, Group(*parts))


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFailure(f"the page {page} cannot be written: {error.strerror}") from error
