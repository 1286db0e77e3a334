"""How near half a network comes to the whole: `python -m benchmarks.pruning_long --data ../shared`.

ResNet-8 is cut to half of its multiply-accumulates and trained as `edgeprune deploy` trains: on the recipe's own
data, with half of the loss from the answers of the original network. The unpruned network is trained on by as many
steps of the same schedule; with `--distilled` once more, with itself, as it was, for a teacher too. Accuracy is the
float network's on all test images, seen once, at the end. Every finished run is a line of the log and is not run
again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.pruning_ours import our_prune
from benchmarks.pruning_protocol import Bench, accuracy, load_bench, products
from edgeprune.cli.terminal import Terminal
from edgeprune.report.terminal import new_table
from edgeprune.train import fine_tune

__all__ = ["Run", "main"]

_SHARE = 0.5
_HALF, _WHOLE, _DISTILLED = "half", "unpruned", "unpruned, distilled"


@dataclass(frozen=True)
class Run:
    """One training: accuracies in per cent, and the processor time of cut and training."""

    network: str
    seed: int
    steps: int
    macs: float
    before_training: float
    accuracy: float
    processor_s: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning_long", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with recipes/ and data/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4000, help="of training, 128 images each")
    parser.add_argument(
        "--distilled", action="store_true", help="train the unpruned network with a teacher too"
    )
    parser.add_argument("--log", type=Path, default=Path("build/pruning_long.jsonl"), help="finished runs")
    parser.add_argument("--json", type=Path, help="write the runs to this file")
    arguments = parser.parse_args()
    terminal = Terminal()
    if not (arguments.data / "recipes/ic_resnet8.py").is_file():
        terminal.say(f"{arguments.data} holds no recipes/ic_resnet8.py: name the benchmark data with --data")
        return 2
    torch.set_num_threads(1)
    runs = [run for run in _finished(arguments.log) if run.steps == arguments.steps]
    networks = (_HALF, _WHOLE, _DISTILLED) if arguments.distilled else (_HALF, _WHOLE)
    wanted = [(network, seed) for seed in range(arguments.seeds) for network in networks]
    missing = [key for key in wanted if key not in {(run.network, run.seed) for run in runs}]
    bench = load_bench(arguments.data) if missing else None
    for network, seed in missing:
        assert bench is not None
        runs.append(_run(bench, network, seed, arguments.steps, terminal))
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        with arguments.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(runs[-1])) + "\n")
    chosen = [run for run in runs if (run.network, run.seed) in wanted]
    _show(chosen, networks, terminal)
    if arguments.json:
        arguments.json.write_text(
            json.dumps([asdict(run) for run in chosen], indent=1) + "\n", encoding="utf-8"
        )
    return 0


def _finished(log: Path) -> list[Run]:
    if not log.is_file():
        return []
    return [Run(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]


def _run(bench: Bench, network: str, seed: int, steps: int, terminal: Terminal) -> Run:
    began = time.process_time()
    module = our_prune(bench, "edgeprune", _SHARE, seed) if network == _HALF else bench.network
    trained = fine_tune(
        replace(bench.model, module=module),
        module,
        steps,
        seed=seed,
        teacher=None if network == _WHOLE else bench.network,
        progress=terminal,
    )
    spent = time.process_time() - began
    example = bench.model.example_inputs[0]
    macs = products(trained, example) / products(bench.network, example)
    before, after = (accuracy(one, bench.test) for one in (module, trained))
    return Run(network, seed, steps, macs, before, after, spent)


def _show(runs: Sequence[Run], networks: Sequence[str], terminal: Terminal) -> None:
    table = new_table("network", "seed", right=("MACs", "before training", "after", "processor minutes"))
    for run in runs:
        figures = (f"{run.macs:.2%}", f"{run.before_training:.2f}", f"{run.accuracy:.2f}")
        table.add_row(run.network, str(run.seed), *figures, f"{run.processor_s / 60:.1f}")
    terminal.show(table)
    means = {name: _mean(runs, name) for name in networks}
    for name in networks[1:]:
        terminal.say(
            f"half the network is {means[name] - means[_HALF]:.2f} points below the whole one, {name}"
        )


def _mean(runs: Sequence[Run], network: str) -> float:
    return statistics.fmean([run.accuracy for run in runs if run.network == network])


if __name__ == "__main__":
    sys.exit(main())
