"""Accuracy after pruning, against Torch-Pruning 1.6.1: `python -m benchmarks.pruning_quality --data ../shared`.

The protocol is in `benchmarks.pruning_protocol`, the peer's methods in `benchmarks.pruning_peer`, the product's in
`benchmarks.pruning_ours`. Every finished run is a line of the log, so that a run broken off goes on where it stopped.
The table goes to standard error, `--json` writes it with every run to a file.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import pruning_ours, pruning_peer
from benchmarks.pruning_protocol import Bench, Descent, Schedule, accuracy, load_bench, products

PEER = "torch-pruning/"


@dataclass(frozen=True)
class Run:
    """One network pruned and trained. Accuracies in per cent of the test images; shares of the whole network's."""

    method: str
    target: float
    seed: int
    macs: float
    parameters: float
    before_training: float
    accuracy: float
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """A method at a target over its seeds."""

    method: str
    target: float
    seeds: int
    mean: float
    spread: float
    macs: float


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)
    methods = _methods(arguments.methods)
    if any(name.startswith(PEER) for name in methods) and find_spec("torch_pruning") is None:
        print(pruning_peer.INSTALL, file=sys.stderr)
        return 2
    if not (arguments.data / "recipes/ic_resnet8.py").is_file():
        print(
            f"no recipes/ic_resnet8.py in {arguments.data}: name the data's folder with --data",
            file=sys.stderr,
        )
        return 2
    targets = [float(text) / 100 for text in arguments.targets.split(",")]
    runs = _read(arguments.log)
    wanted = [
        (name, target, seed) for seed in range(arguments.seeds) for target in targets for name in methods
    ]
    done = {(one.method, one.target, one.seed) for one in runs}
    missing = [] if arguments.finished else [key for key in wanted if key not in done]
    bench = load_bench(arguments.data) if missing else None
    for name, target, seed in missing:
        assert bench is not None
        run = _run(bench, name, target, seed)
        runs.append(run)
        with arguments.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(run)) + "\n")
        print(f"{name} {target:.0%} seed {seed}: {run.accuracy:.2f} % at {run.macs:.2%}", file=sys.stderr)
    chosen = [one for one in runs if (one.method, one.target, one.seed) in set(wanted)]
    summaries = _summaries(chosen)
    _show(summaries)
    if arguments.json:
        text = {"summary": [asdict(one) for one in summaries], "runs": [asdict(one) for one in chosen]}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning_quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with recipes/ and data/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", default="50,25", help="multiply-accumulates that may stay, in per cent")
    parser.add_argument(
        "--methods",
        default="all",
        help="names, or beginnings of names, separated by commas; "
        + ", ".join([*pruning_ours.METHODS, *(PEER + one for one in pruning_peer.METHODS)]),
    )
    parser.add_argument("--log", type=Path, default=Path("build/pruning_quality.jsonl"), help="finished runs")
    parser.add_argument("--finished", action="store_true", help="start no run, report those in the log")
    parser.add_argument("--json", type=Path, help="write summary and runs to this file")
    arguments = parser.parse_args()
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    return arguments


def _methods(wanted: str) -> list[str]:
    known = [*pruning_ours.METHODS, *(PEER + one for one in pruning_peer.METHODS)]
    if wanted == "all":
        return known
    parts = [part for part in wanted.split(",") if part]
    exact = [name for name in parts if name in known]
    begun = [name for name in known if any(name.startswith(part) for part in parts if part not in exact)]
    return list(dict.fromkeys([*exact, *begun]))


def _read(log: Path) -> list[Run]:
    if not log.is_file():
        return []
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [Run(**{**line, "widths": tuple(line["widths"])}) for line in lines]


def _run(bench: Bench, method: str, target: float, seed: int) -> Run:
    descent = Descent(bench, Schedule(), seed)
    if method.startswith(PEER):
        cut = pruning_peer.peer_prune(bench, method.removeprefix(PEER), target, seed)
    else:
        cut = pruning_ours.our_prune(bench, method, target, seed)
    before = accuracy(cut, bench.test)
    trained = descent.take(cut, descent.left)
    example = bench.model.example_inputs[0]
    share = products(trained, example) / products(bench.network, example)
    if share > target:
        raise RuntimeError(f"{method} leaves {share:.2%} of the products, more than {target:.0%}")
    return Run(
        method,
        target,
        seed,
        share,
        _parameters(trained) / _parameters(bench.network),
        before,
        accuracy(trained, bench.test),
        tuple(layer.out_channels for layer in trained.modules() if isinstance(layer, torch.nn.Conv2d)),
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _summaries(runs: Sequence[Run]) -> list[Summary]:
    """One line per method and target, the best first."""
    found = []
    for method, target in dict.fromkeys((one.method, one.target) for one in runs):
        rows = [one for one in runs if (one.method, one.target) == (method, target)]
        values = [one.accuracy for one in rows]
        spread = statistics.stdev(values) if len(values) > 1 else math.nan
        found.append(
            Summary(
                method, target, len(rows), statistics.fmean(values), spread, max(one.macs for one in rows)
            )
        )
    return sorted(found, key=lambda one: (-one.target, -one.mean))


def _show(summaries: Sequence[Summary]) -> None:
    table = Table(
        title=f"ResNet-8, CIFAR-10: accuracy after pruning and {Schedule().steps} steps", title_justify="left"
    )
    for heading in ("method", "target", "seeds", "accuracy %", "spread", "MACs at most"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for one in summaries:
        spread = "" if math.isnan(one.spread) else f"{one.spread:.2f}"
        table.add_row(
            one.method, f"{one.target:.0%}", str(one.seeds), f"{one.mean:.2f}", spread, f"{one.macs:.2%}"
        )
    Console(stderr=True).print(table)


if __name__ == "__main__":
    sys.exit(main())
