"""Refreshes the README's figures and picture from real runs.

make demo
python -m benchmarks --data DIR > figures.json
python docs/refresh.py build/demo figures.json
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

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
}
"""The README's table: what a line is called there, and in the benchmark's figures."""


def draw(bundle: Path, picture: Path) -> None:
    """The terminal summary of `bundle` as an SVG."""
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(summary(read_report(bundle), bundle))
    console.save_svg(str(picture), title=f"edgeprune report {bundle}", theme=MONOKAI)


def fill_in(readme: Path, figures: list[dict[str, object]]) -> None:
    """Put the keyword spotting network's figures into the README's table; the peer's column stays."""
    ours = {row["figure"]: row["value"] for row in figures if row["case"] == "kws"}
    text = readme.read_text(encoding="utf-8")
    for label, figure in ROWS.items():
        value = ours[figure]
        shown = f"{100 * value:.1f} %" if isinstance(value, float) else f"{value:,}"
        text, found = re.subn(rf"(\| {re.escape(label)} \|) [^|]* \|", rf"\1 {shown} |", text)
        assert found == 1, label
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), ROOT / "docs/demo.svg")
    fill_in(ROOT / "README.md", json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
