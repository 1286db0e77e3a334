"""Finding the program of a fixed network that fits as linked and as run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.compile import Build, Cost, compile_network, measure
from edgeprune.config import Budget
from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.graph.ir import Array
from edgeprune.plan import Objective
from edgeprune.progress import Progress

__all__ = ["Fitted", "fit_program", "missed", "over_budget", "spent", "worst_excess"]

_ATTEMPTS = 5
_FIRST_GUESS_OF_STACK_BYTES = 256
_NOTICEABLE = 1.01


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best program found and what it takes; `fits` says whether the budget holds."""

    build: Build
    cost: Cost
    fits: bool
    binds: str | None = None
    """Why it does not fit, as a sentence."""


def fit_program(
    onnx: bytes,
    name: str,
    device: Device,
    budget: Budget,
    optimize: str,
    sample: tuple[Array, ...] | None,
    directory: Path,
    progress: Progress,
) -> Fitted:
    """Plan, link, run and compare; where the measurement misses the budget, plan again with other limits.

    The plan limits the arena and the kernels' estimated flash, the budget the linked image with its stack; the
    difference is learnt from each measurement. Where time is missed, the fastest kernels that the memory allows are
    tried, whatever is optimized. `sample` is one stored inference, or None for zeros. A network that does not fit
    comes with the program whose worst excess over a limit is least.
    """
    limits = Objective(optimize, budget.flash_bytes, _less(budget.ram_bytes, _FIRST_GUESS_OF_STACK_BYTES))
    found: list[Fitted] = []
    tried: set[Objective] = set()
    for attempt in range(_ATTEMPTS):
        if limits in tried:
            break
        tried.add(limits)
        binds = None
        place = directory / f"attempt_{attempt}"
        try:
            built = compile_network(onnx, name, device, limits, place, progress)
        except OverBudget as error:
            binds = str(error)
            # The refused plan stands for every larger one: only the smallest arena can still fit.
            limits = Objective("ram", limits.flash_bytes)
            if limits in tried:
                break
            tried.add(limits)
            built = compile_network(onnx, name, device, limits, place / "least", progress)
        cost = _measure(built, sample, progress)
        fits = cost.fits(budget)
        found.append(Fitted(built, cost, fits, None if fits else binds))
        if fits:
            break
        limits = _corrected(limits, built, cost, budget, optimize)
    return min(found, key=lambda one: (not one.fits, worst_excess(one.cost, budget)))


def _measure(built: Build, sample: tuple[Array, ...] | None, progress: Progress) -> Cost:
    import numpy as np

    stored = sample or tuple(np.zeros((1, *t.shape), t.dtype) for t in built.graph.inputs)
    return measure(built, stored, progress)[1]


def _corrected(limits: Objective, built: Build, cost: Cost, budget: Budget, optimize: str) -> Objective:
    """The limits that leave what this build took beyond its plan: bytes outside the arena, code around kernels."""
    flash, ram = limits.flash_bytes, limits.ram_bytes
    if budget.flash_bytes is not None:
        estimate = sum(step.candidate.flash_bytes for step in built.program.steps)
        room = max(1, budget.flash_bytes - (cost.flash_bytes - estimate))
        flash = min(room, flash or room) if cost.flash_bytes > budget.flash_bytes else _loosened(flash, room)
    if budget.ram_bytes is not None:
        ram = _loosened(ram, max(1, budget.ram_bytes - (cost.ram_bytes - built.program.arena_bytes)))
    late = budget.latency_ms is not None and (cost.latency_ms or 0.0) > budget.latency_ms
    return Objective("latency" if late else optimize, flash, ram)


def _loosened(limit: int | None, room: int) -> int:
    """`room` as the new limit, unless it is hardly more than the old one: then the plan would be the same."""
    return limit if limit is not None and limit <= room <= limit * _NOTICEABLE else room


def _less(limit: int | None, amount: int) -> int | None:
    return None if limit is None else max(1, limit - amount)


def worst_excess(cost: Cost, budget: Budget) -> float:
    """The largest ratio of what is taken to its limit; 0 without limits."""
    pairs = (
        (cost.flash_bytes, budget.flash_bytes),
        (cost.ram_bytes, budget.ram_bytes),
        (cost.latency_ms, budget.latency_ms),
    )
    return max(
        (taken / limit for taken, limit in pairs if taken is not None and limit is not None), default=0.0
    )


def missed(cost: Cost, budget: Budget) -> dict[str, str]:
    """The limits that `cost` breaks: the report's word for each, and a phrase that says by how much."""
    phrases = {}
    if budget.flash_bytes is not None and cost.flash_bytes > budget.flash_bytes:
        phrases["flash"] = f"flash {cost.flash_bytes:,} B of {budget.flash_bytes:,} B"
    if budget.ram_bytes is not None and cost.ram_bytes > budget.ram_bytes:
        phrases["ram"] = f"RAM {cost.ram_bytes:,} B of {budget.ram_bytes:,} B"
    if budget.latency_ms is not None and cost.latency_ms is not None and cost.latency_ms > budget.latency_ms:
        phrases["latency_ms"] = f"latency {cost.latency_ms:.3g} ms of {budget.latency_ms:.3g} ms"
    return phrases


def over_budget(fitted: Fitted, budget: Budget, why: str) -> OverBudget:
    """The refusal of a network that does not fit, with what it takes."""
    parts = missed(fitted.cost, budget).values()
    needs = "it needs " + ", ".join(parts) if parts else "it does not fit"
    binds = f"; {fitted.binds}" if fitted.binds else ""
    return OverBudget(f"over budget: {needs}, and {why}{binds}", spent(fitted.cost))


def spent(cost: Cost) -> dict[str, float]:
    """A cost in the report's words."""
    words: dict[str, float] = {"flash": cost.flash_bytes, "ram": cost.ram_bytes}
    if cost.latency_ms is not None:
        words["latency_ms"] = cost.latency_ms
    return words
