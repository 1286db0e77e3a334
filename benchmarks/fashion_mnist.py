"""`python -m benchmarks.fashion_mnist`: a network trained from scratch, then a quarter of its flash.

Per seed: a DS-CNN is trained on Fashion-MNIST's 60,000 images, deployed whole, then to a quarter of the flash that
took, as linked. Accuracy is the emulated library's own on the 10,000 test images' first `--samples`, and the float
network's on all. Each finished seed is a line of `build/benchmarks/fashion_mnist.jsonl`, and is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from edgeprune.cli.terminal import Terminal
from edgeprune.config import Settings
from edgeprune.float_network import load_pruned
from edgeprune.model import load_model
from edgeprune.pipeline import deploy
from edgeprune.report.terminal import new_table
from edgeprune.train import evaluate, fine_tune

__all__ = ["Row", "main"]

_RECIPE = Path(__file__).with_name("fashion_network.py")
_PLACE = Path("build/benchmarks")


@dataclass(frozen=True)
class Row:
    """One seed: linked flash in bytes and accuracy in per cent, of the whole network and of the small one."""

    seed: int
    whole_flash: int
    small_flash: int
    whole_float: float
    small_float: float
    whole_emulated: float
    small_emulated: float


def run(seed: int, arguments: argparse.Namespace, terminal: Terminal) -> Row:
    weights = _PLACE / f"fashion_{seed}_{arguments.steps}.pt"
    os.environ["EDGEPRUNE_DATA"] = str(arguments.data.resolve())
    os.environ["EDGEPRUNE_WEIGHTS"] = ""
    if not weights.is_file():
        torch.manual_seed(seed)
        scratch = load_model(_RECIPE)
        assert scratch.module is not None
        trained = fine_tune(scratch, scratch.module, arguments.steps, seed=seed, progress=terminal)
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(trained.state_dict(), weights)
    os.environ["EDGEPRUNE_WEIGHTS"] = str(weights.resolve())
    common = {"seed": seed, "samples": arguments.samples, "effort": arguments.effort}
    model = load_model(_RECIPE)
    assert model.module is not None
    whole = deploy(
        Settings(_RECIPE, arguments.device, output=_PLACE / f"fashion_{seed}_whole", **common), terminal
    ).report
    limit = whole["flash"]["total"] // 4
    place = _PLACE / f"fashion_{seed}_small"
    small = deploy(
        Settings(_RECIPE, arguments.device, flash=str(limit), output=place, **common), terminal
    ).report
    if not small["fits"]:
        raise SystemExit(f"a quarter of the flash, {limit:,} B, cannot be reached: {small['reason']}")
    pruned = load_pruned(_RECIPE, place)
    return Row(
        seed,
        whole["flash"]["total"],
        small["flash"]["total"],
        100 * evaluate(model, model.module),
        100 * evaluate(model, pruned),
        100 * whole["accuracy"]["emulated"],
        100 * small["accuracy"]["emulated"],
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fashion_mnist", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared"), help="folder with data/fashion_mnist.npz"
    )
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000, help="of training from scratch, 128 images each")
    parser.add_argument("--effort", type=int, default=3000, help="steps of training after pruning")
    parser.add_argument("--samples", type=int, default=1000, help="test images that run in the emulator")
    arguments = parser.parse_args()
    terminal = Terminal()
    if not (arguments.data / "data/fashion_mnist.npz").is_file():
        terminal.say(f"{arguments.data} holds no data/fashion_mnist.npz: name the benchmark data with --data")
        return 2
    log = _PLACE / "fashion_mnist.jsonl"
    rows = [Row(**json.loads(line)) for line in log.read_text().splitlines()] if log.is_file() else []
    for seed in range(arguments.seeds):
        if seed not in {row.seed for row in rows}:
            rows.append(run(seed, arguments, terminal))
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(rows[-1])) + "\n")
    table = new_table("seed", right=("flash", "a quarter", "float", "pruned", "emulated", "pruned"))
    for row in rows:
        cells = (row.whole_float, row.small_float, row.whole_emulated, row.small_emulated)
        table.add_row(
            str(row.seed), f"{row.whole_flash:,}", f"{row.small_flash:,}", *(f"{cell:.2f}" for cell in cells)
        )
    terminal.show(table)
    losses = [row.whole_float - row.small_float for row in rows]
    terminal.say(
        f"float accuracy lost: mean {statistics.mean(losses):.2f} points, {min(losses):.2f} to {max(losses):.2f}"
    )
    json.dump([asdict(row) for row in rows], sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
