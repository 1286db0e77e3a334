"""`python -m benchmarks.budget_matrix`: networks of every family against tight budgets; no cell may miss silently.

Each network is deployed whole, once for each resource as the one to spare, then to budgets that are shares of what
the whole takes at its leanest, as linked and as run. A cell ends in one of two ways. It *fits*: the bundle is
bit-exact and its report keeps every limit. Or it is *over budget*: no bundle, a reason, and the nearest budget; that
one is then deployed to, with two per cent to spare, and must fit.
Anything else is a *failure*, and the exit status is 1. The table goes to standard error, JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgeprune.cli.standard_output import kept_for_results
from edgeprune.cli.terminal import Terminal
from edgeprune.config import Settings
from edgeprune.errors import EdgepruneError
from edgeprune.pipeline import deploy
from edgeprune.report.terminal import new_table

__all__ = ["BUDGETS", "NETWORKS", "Cell", "Matrix"]

RECIPES = Path(__file__).resolve().parents[1] / "tests" / "recipes"
NETWORKS = (
    "residual",
    "depthwise_separable",
    "unet",
    "squeeze_excite",
    "channel_split",
    "vision_transformer",
    "lstm",
    "autoencoder",
)
BUDGETS: Mapping[str, Mapping[str, float]] = {
    "70 % flash": {"flash": 0.7},
    "70 % RAM": {"ram": 0.7},
    "50 % latency": {"latency_ms": 0.5},
    "60 % of all": {"flash": 0.6, "ram": 0.6, "latency_ms": 0.6},
    "5 % of all": {"flash": 0.05, "ram": 0.05, "latency_ms": 0.05},
}
_WORDS: Mapping[str, Literal["latency", "ram", "flash"]] = {
    "flash": "flash",
    "ram": "ram",
    "latency_ms": "latency",
}
_SPARE = 1.02
"""By how much the nearest budget is widened before it is deployed to."""


@dataclass(frozen=True)
class Cell:
    """How one network fared with one budget. `used` is each limited resource over its limit, at the end."""

    network: str
    budget: str
    outcome: Literal["fits", "over budget", "failure"]
    rounds: int | None
    used: Mapping[str, float] | None
    reason: str | None
    nearest: Mapping[str, float] | None
    nearest_is_reached: bool | None
    seconds: float


class Matrix:
    """Deploys cells into a folder of its own; whole networks are deployed once."""

    def __init__(
        self, directory: Path, device: str = "nucleo-l4r5zi", effort: int = 5, samples: int = 3
    ) -> None:
        self._directory = directory
        self._device = device
        self._effort = effort
        self._samples = samples
        self._whole: dict[tuple[str, str], float] = {}

    def cell(self, network: str, budget: str, reach: bool = True) -> Cell:
        """Deploy one cell and judge how it ends; `reach`: try the nearest budget where it ends over budget."""
        start = time.monotonic()
        try:
            limits = {name: self.whole(network, name) * share for name, share in BUDGETS[budget].items()}
            start = time.monotonic()
            report, bundle = self._deploy(network, limits)
        except EdgepruneError as error:
            return Cell(
                network, budget, "failure", None, None, str(error), None, None, time.monotonic() - start
            )
        seconds = time.monotonic() - start
        if bundle is not None:
            used = {name: _taken(report)[name] / limit for name, limit in limits.items()}
            sound = report["verify"]["bit_exact"] and all(share <= 1 for share in used.values())
            rounds = (report["pruning"] or {}).get("rounds")
            outcome: Literal["fits", "failure"] = "fits" if sound else "failure"
            return Cell(network, budget, outcome, rounds, used, None, None, None, seconds)
        nearest, reached = report["nearest"], None
        sound = bool(report["reason"]) and nearest is not None
        if sound:
            sound = any(nearest[name] > limit for name, limit in limits.items())
            if reach:
                reached = self._reaches(network, {name: nearest[name] * _SPARE for name in limits})
        sound = sound and reached is not False
        return Cell(
            network,
            budget,
            "over budget" if sound else "failure",
            None,
            None if nearest is None else {name: nearest[name] / limit for name, limit in limits.items()},
            report["reason"],
            nearest,
            reached,
            seconds,
        )

    def whole(self, network: str, resource: str) -> float:
        """The least of "flash", "ram" or "latency_ms" that the unpruned network takes."""
        if (network, resource) not in self._whole:
            report, _ = self._deploy(network, {}, _WORDS[resource])
            self._whole[network, resource] = _taken(report)[resource]
        return self._whole[network, resource]

    def _reaches(self, network: str, limits: Mapping[str, float], again: bool = True) -> bool:
        """Whether `limits` end in a bundle; where training moved the network over them, the ones named then."""
        try:
            report, directory = self._deploy(network, limits)
        except EdgepruneError:
            return False
        if directory is None and again and "training moved it" in report["reason"]:
            return self._reaches(network, {name: report["nearest"][name] * _SPARE for name in limits}, False)
        return directory is not None

    def _deploy(
        self,
        network: str,
        limits: Mapping[str, float],
        optimize: Literal["latency", "ram", "flash"] = "latency",
    ) -> tuple[dict[str, Any], Path | None]:
        given: dict[str, Any] = {
            _WORDS[name]: f"{limit:.6f}ms" if name == "latency_ms" else str(int(limit))
            for name, limit in limits.items()
        }
        with tempfile.TemporaryDirectory(dir=self._directory) as place:
            settings = Settings(
                RECIPES / f"{network}.py",
                self._device,
                output=Path(place) / network,
                effort=self._effort,
                samples=self._samples,
                optimize=optimize,
                **given,
            )
            deployment = deploy(settings)
        return deployment.report, deployment.directory


def _taken(report: Mapping[str, Any]) -> dict[str, float]:
    latency = report["latency"]["ms"]
    return {"flash": report["flash"]["total"], "ram": report["ram"]["total"], "latency_ms": latency}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget_matrix", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--budgets", nargs="+", choices=tuple(BUDGETS), default=tuple(BUDGETS))
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--no-reach", action="store_true", help="do not deploy to the nearest budgets")
    arguments = parser.parse_args()
    terminal, cells = Terminal(), list[Cell]()
    with kept_for_results(), tempfile.TemporaryDirectory(prefix="edgeprune-matrix-") as scratch:
        matrix = Matrix(Path(scratch), arguments.device)
        for network in arguments.networks:
            for budget in arguments.budgets:
                cells.append(matrix.cell(network, budget, reach=not arguments.no_reach))
                terminal.say(_line(cells[-1]))
    table = new_table("network", "budget", "outcome", "used of each limit", right=("rounds", "seconds"))
    for cell in cells:
        rounds = "" if cell.rounds is None else str(cell.rounds)
        table.add_row(cell.network, cell.budget, cell.outcome, _used(cell), rounds, f"{cell.seconds:.1f}")
    terminal.show(table)
    json.dump([asdict(cell) for cell in cells], sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 1 if any(cell.outcome == "failure" for cell in cells) else 0


def _used(cell: Cell) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in (cell.used or {}).items())


def _line(cell: Cell) -> str:
    reached = {None: "", True: "; nearest reached", False: "; NEAREST NOT REACHED"}[cell.nearest_is_reached]
    rounds = "" if cell.rounds is None else f" in {cell.rounds} rounds"
    reason = "" if cell.reason is None else f": {cell.reason}"
    title = f"{cell.network}, {cell.budget}: {cell.outcome}{rounds}, {cell.seconds:.1f} s"
    return f"{title}, {_used(cell)}{reached}{reason}"


if __name__ == "__main__":
    sys.exit(main())
