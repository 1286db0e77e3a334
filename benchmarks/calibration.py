"""Prints what the cycle models make of the networks measured on silicon: `python benchmarks/calibration.py`.

The cases are read from ../shared/research/latency, or from the folder given; `--json` prints them as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edgeprune.cycles.calibration import FILES, Case, read_cases, rms_percent, worst_percent

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "research" / "latency"


def groups(folder: Path) -> list[tuple[str, tuple[Case, ...]]]:
    """The cases in the groups whose errors are quoted, each with its name."""
    found = []
    for name in FILES:
        path = folder / name
        cases = read_cases(path) if path.exists() else ()
        for (board, floating), group in groupby(sorted(cases, key=_group), _group):
            found.append((f"{path.stem.removeprefix('calibration_')} {board}{floating}", tuple(group)))
    return found


def _group(case: Case) -> tuple[str, str]:
    # STM32H7A3 and STM32F746 are one group, so are the board's configurations.
    chip = "nRF5340" if "nrf" in case.board.lower() else case.core
    return chip, " float" if case.floating else " held out" if case.held_out else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = groups(options.folder)
    if not found:
        print(f"There are no calibration files in {options.folder}: name their folder.", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: [_row(case) for case in cases] for name, cases in found}, indent=1))
    else:
        _print(found)
    return 0


def _row(case: Case) -> dict[str, object]:
    return {
        "name": case.name,
        "measured_cycles": case.measured,
        "estimated_cycles": round(case.estimate.cycles),
        "error_percent": round(case.error_percent, 2),
        "flash_share_percent": round(100 * case.flash_share, 1),
    }


def _print(found: list[tuple[str, tuple[Case, ...]]]) -> None:
    console = Console()
    for name, cases in found:
        rms, worst = rms_percent(cases), worst_percent(cases)
        table = Table(
            title=f"{name}: {len(cases)} cases, {rms:.1f} % rms, {worst:.1f} % worst", title_justify="left"
        )
        for heading in ("network", "measured cycles", "estimated", "error %", "flash %"):
            table.add_column(heading, justify="left" if heading == "network" else "right")
        for case in cases:
            table.add_row(
                case.name,
                f"{case.measured:,.0f}",
                f"{case.estimate.cycles:,.0f}",
                f"{case.error_percent:+.1f}",
                f"{100 * case.flash_share:.1f}",
            )
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
