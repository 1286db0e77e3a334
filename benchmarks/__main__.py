"""`python -m benchmarks`: every network on every core; tables on standard error, JSON on standard output.

`--model FILE --device D` takes any other network, and compares what can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.networks import CASES, Case, Layer, Result, run_case
from edgeprune.cli.terminal import Terminal
from edgeprune.errors import EdgepruneError
from edgeprune.report.terminal import new_table


def main() -> int:
    arguments = _arguments()
    terminal = Terminal()
    if not (arguments.data / "peers/peers.json").is_file():
        terminal.say(f"{arguments.data} holds no peers/peers.json: name the benchmark data with --data")
        return 2
    chosen = [
        case
        for case in _cases(arguments.model, arguments.device)
        if case.name.startswith(arguments.only or "") and arguments.device in (None, case.device)
    ]
    if not chosen:
        names = ", ".join(dict.fromkeys(case.name for case in CASES))
        terminal.say(f"nothing to run: --only takes the beginning of {names}, --device one of their devices")
        return 2
    results: list[Result] = []
    for case in chosen:
        try:
            results.append(run_case(case, arguments.data, arguments.samples, terminal))
        except EdgepruneError as error:
            terminal.say(f"{case.name}: {error}")
            return error.exit_status
    for result in results:
        terminal.show(_layers(result))
    terminal.show(_totals(results))
    text = json.dumps([_values(result) for result in results], indent=1) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared"), help="folder with models/, data/ and peers/"
    )
    parser.add_argument("--only", help="run the networks whose name starts so")
    parser.add_argument("--device", help="run on this device alone")
    parser.add_argument("--model", type=Path, help="run this ONNX file or recipe instead")
    parser.add_argument("--samples", type=int, help="inputs to verify on (all by default)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, not to standard output")
    return parser.parse_args()


def _cases(model: Path | None, device: str | None) -> Sequence[Case]:
    if model is None:
        return CASES
    own = Case(model.stem, str(model.resolve()))
    return (own,) if device is None else (Case(model.stem, str(model.resolve()), device=device),)


def _layers(result: Result) -> Table:
    case = result.case
    right = ("MACs", "instructions", "cycles", "cycles/MAC", "instructions/MAC", "peer", "ratio")
    table = new_table("layer", "geometry", "kernel", right=right)
    table.add_column("bound by")
    table.title = f"{case.name} on {case.device}"
    for layer in result.layers:
        figures = (f"{layer.macs:,}", f"{layer.instructions:,}", f"{layer.cycles:,}")
        per_mac = map(_text, (layer.cycles_per_mac, layer.instructions_per_mac, layer.peer, layer.ratio))
        table.add_row(layer.name, layer.geometry, layer.kernel, *figures, *per_mac, layer.bound or "")
    return table


def _totals(results: Sequence[Result]) -> Table:
    table = new_table("network", "device", "figure", right=("edgeprune", "peer", "ratio"))
    for row in (row for result in results for row in result.rows):
        table.add_row(row.case, row.device, row.figure, _text(row.value), _text(row.peer), _text(row.ratio))
    return table


def _values(result: Result) -> dict[str, Any]:
    """A result as JSON values."""
    case = result.case
    return {
        "network": case.name,
        "device": case.device,
        "budget": {"flash": case.flash, "ram": case.ram},
        "optimize": case.optimize,
        "compiler": result.compiler,
        "flags": result.flags,
        "figures": [
            {"figure": row.figure, "value": row.value, "peer": row.peer, "ratio": row.ratio}
            for row in result.rows
        ],
        "layers": [_layer_values(layer) for layer in result.layers],
    }


def _layer_values(layer: Layer) -> dict[str, Any]:
    return asdict(layer) | {
        "cycles_per_mac": layer.cycles_per_mac,
        "instructions_per_mac": layer.instructions_per_mac,
        "ratio": layer.ratio,
    }


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


sys.exit(main())
