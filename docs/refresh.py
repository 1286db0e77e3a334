"""Refreshes the README's figures and picture from real runs.

make demo
python -m benchmarks --data DIR --device nucleo-l4r5zi --json figures.json
python docs/refresh.py build/demo figures.json
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI

from edgeprune.bundle import read_report
from edgeprune.report.terminal import summary

ROOT = Path(__file__).resolve().parents[1]
ROWS = {
    "instructions of one inference": "instructions",
    "flash, bytes": "flash bytes",
    "RAM, bytes, stack included": "RAM bytes",
    "accuracy, emulated": "accuracy",
    "cycles, estimated; best published": "cycles, against the record",
}
"""The README's table: what a line is called there, and in the benchmark's figures."""
COLUMNS = {"kws": 0, "ic": 2}
"""Networks of the table, and how many columns stand before theirs."""
DEVICE = "nucleo-l4r5zi"


def draw(bundle: Path, picture: Path) -> None:
    """The terminal summary of `bundle` as an SVG."""
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(summary(read_report(bundle), bundle))
    console.save_svg(str(picture), title=f"edgeprune report {bundle}", theme=MONOKAI)


def fill_in(readme: Path, results: list[dict[str, Any]]) -> None:
    """Put the figures of `COLUMNS` into the README's table; the peers' columns stay."""
    text = readme.read_text(encoding="utf-8")
    for network, column in COLUMNS.items():
        result = next(one for one in results if (one["network"], one["device"]) == (network, DEVICE))
        ours = {row["figure"]: row["value"] for row in result["figures"]}
        for label, figure in ROWS.items():
            before = rf"(\| {re.escape(label)} \|(?:[^|]*\|){{{column}}})[^|]*\|"
            text, found = re.subn(before, rf"\1 {_shown(figure, ours[figure])} |", text)
            assert found == 1, label
    readme.write_text(text, encoding="utf-8")


def _shown(figure: str, value: float) -> str:
    if figure == "accuracy":
        return f"{100 * value:.1f} %"
    return f"{value / 1e6:.2f} M" if figure.startswith("cycles") else f"{value:,}"


if __name__ == "__main__":
    draw(Path(sys.argv[1]), ROOT / "docs/demo.svg")
    fill_in(ROOT / "README.md", json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
