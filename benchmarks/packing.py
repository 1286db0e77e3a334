"""`python -m benchmarks.packing`: how long packing an arena takes, and how near it comes to the lowest.

Networks are drawn at random, branchy ones (`benchmarks.packing_problems`). Small ones are compared with what HiGHS
proves to be the lowest packing within a time limit; all with the bound that the largest step's need gives. The table
goes to standard error, JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from random import Random

from benchmarks.packing_problems import branchy, is_valid, optimum
from edgeprune.cli.terminal import Terminal
from edgeprune.plan.pack import pack
from edgeprune.report.terminal import new_table

__all__ = ["Row"]

_ALIGN = 8
_MOST_FOR_HIGHS = 20


@dataclass(frozen=True)
class Row:
    """Networks of one number of steps: the most processor time, the largest ratios to bound and optimum."""

    steps: int
    networks: int
    processor_seconds: float
    most_over_bound: float
    proven_by_highs: int
    most_over_optimum: float | None


def main() -> int:
    arguments = _arguments()
    rows = [_row(steps, arguments.networks, arguments.seconds, arguments.seed) for steps in arguments.steps]
    right = ("steps", "networks", "processor, s", "over the bound", "proven by HiGHS", "over the optimum")
    table = new_table(right=right)
    for row in rows:
        over = "" if row.most_over_optimum is None else f"{row.most_over_optimum:.4f}"
        table.add_row(
            str(row.steps),
            str(row.networks),
            f"{row.processor_seconds:.2f}",
            f"{row.most_over_bound:.4f}",
            str(row.proven_by_highs),
            over,
        )
    Terminal().show(table)
    sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def _row(steps: int, networks: int, seconds: float, seed: int) -> Row:
    random = Random(f"{seed} {steps}")
    times, over_bound, over_optimum = [], [], []
    for _ in range(networks):
        problem = branchy(random, steps)
        start = time.process_time()
        packing = pack(problem.storages, problem.distances, lambda storage: _ALIGN, problem.bound_bytes)
        times.append(time.process_time() - start)
        assert is_valid(problem, packing.offsets)
        over_bound.append(packing.arena_bytes / problem.bound_bytes)
        if steps <= _MOST_FOR_HIGHS:
            best = optimum(problem, packing.arena_bytes, seconds)
            if best is not None and best.proven:
                over_optimum.append(packing.arena_bytes / best.height_bytes)
    return Row(
        steps, networks, max(times), max(over_bound), len(over_optimum), max(over_optimum, default=None)
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 15, 20, 50, 100, 200])
    parser.add_argument("--networks", type=int, default=10, help="networks of each number of steps")
    parser.add_argument("--seconds", type=float, default=10.0, help="HiGHS's time for one network")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
