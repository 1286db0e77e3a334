"""Draws the terminal summary of a bundle as an SVG: `python docs/picture.py BUNDLE docs/demo.svg`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from edgeprune.bundle import read_report
from edgeprune.report.terminal import summary


def main(bundle: Path, picture: Path) -> None:
    """Write the summary of `bundle` to `picture`."""
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False, force_terminal=True)
    console.print(summary(read_report(bundle), bundle))
    console.save_svg(str(picture), title=f"edgeprune report {bundle}", theme=MONOKAI)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
