"""`python -m benchmarks`: the table on standard error, JSON on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.networks import CASES, Row, run_case
from edgeprune.cli.terminal import Terminal
from edgeprune.errors import EdgepruneError
from edgeprune.report.terminal import new_table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared"), help="folder with models/, data/ and peers/"
    )
    parser.add_argument("--only", help="run the networks whose name starts so")
    parser.add_argument("--samples", type=int, help="inputs to verify on (all by default)")
    arguments = parser.parse_args()
    terminal = Terminal()
    if not (arguments.data / "peers/peers.json").is_file():
        terminal.say(f"{arguments.data} holds no peers/peers.json: name the benchmark data with --data")
        return 2
    rows: list[Row] = []
    chosen = [case for case in CASES if case.name.startswith(arguments.only or "")]
    if not chosen:
        terminal.say(f"no network's name starts with {arguments.only!r}: {', '.join(c.name for c in CASES)}")
        return 2
    for case in chosen:
        try:
            rows += run_case(case, arguments.data, arguments.samples, terminal)
        except EdgepruneError as error:
            terminal.say(f"{case.name}: {error}")
            return error.exit_status
    table = new_table("network", "device", "figure", right=("edgeprune", "peer", "ratio"))
    for row in rows:
        table.add_row(row.case, row.device, row.figure, _text(row.value), _text(row.peer), _text(row.ratio))
    terminal.show(table)
    json.dump([asdict(row) | {"ratio": row.ratio} for row in rows], sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


sys.exit(main())
