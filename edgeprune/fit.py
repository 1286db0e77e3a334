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

__all__ = ["Fitted", "fit_program", "over_budget", "spent"]

_ATTEMPTS = 4
_FIRST_GUESS_OF_STACK_BYTES = 512


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
    """Plan, link, run and compare; where the measurement misses the budget, plan again with tighter limits.

    The plan limits the arena and the kernels' estimated flash, the budget the linked image with its stack; the
    difference is learnt from each measurement. `sample` is one stored inference, or None for zeros.
    """
    limits = Objective(optimize, budget.flash_bytes, _less(budget.ram_bytes, _FIRST_GUESS_OF_STACK_BYTES))
    best: Fitted | None = None
    for attempt in range(_ATTEMPTS):
        try:
            built = compile_network(onnx, name, device, limits, directory / f"attempt_{attempt}", progress)
        except OverBudget as error:
            if best is None:
                free = Objective("ram" if budget.ram_bytes is not None else optimize)
                built = compile_network(onnx, name, device, free, directory / "smallest", progress)
                cost = _measure(built, sample, progress)
                return Fitted(built, cost, cost.fits(budget), str(error))
            return Fitted(best.build, best.cost, False, str(error))
        cost = _measure(built, sample, progress)
        found = Fitted(built, cost, cost.fits(budget))
        if found.fits:
            return found
        best = found
        tighter = _tightened(limits, built, cost, budget)
        if tighter == limits:
            break
        limits = tighter
    assert best is not None
    return best


def _measure(built: Build, sample: tuple[Array, ...] | None, progress: Progress) -> Cost:
    import numpy as np

    stored = sample or tuple(np.zeros((1, *t.shape), t.dtype) for t in built.graph.inputs)
    return measure(built, stored, progress)[1]


def _tightened(limits: Objective, built: Build, cost: Cost, budget: Budget) -> Objective:
    flash, ram = limits.flash_bytes, limits.ram_bytes
    if budget.flash_bytes is not None and flash is not None and cost.flash_bytes > budget.flash_bytes:
        estimate = sum(step.candidate.flash_bytes for step in built.program.steps)
        flash = min(flash, estimate) - (cost.flash_bytes - budget.flash_bytes)
    if budget.ram_bytes is not None and ram is not None and cost.ram_bytes > budget.ram_bytes:
        ram = min(ram, built.program.arena_bytes) - (cost.ram_bytes - budget.ram_bytes)
    if (flash is not None and flash <= 0) or (ram is not None and ram <= 0):
        return limits
    return Objective(limits.optimize, flash, ram)


def _less(limit: int | None, amount: int) -> int | None:
    return None if limit is None else max(1, limit - amount)


def over_budget(fitted: Fitted, budget: Budget, why: str) -> OverBudget:
    """The refusal of a network that does not fit, with what it takes."""
    cost = fitted.cost
    parts = []
    if budget.flash_bytes is not None and cost.flash_bytes > budget.flash_bytes:
        parts.append(f"flash {cost.flash_bytes:,} B of {budget.flash_bytes:,} B")
    if budget.ram_bytes is not None and cost.ram_bytes > budget.ram_bytes:
        parts.append(f"RAM {cost.ram_bytes:,} B of {budget.ram_bytes:,} B")
    if budget.latency_ms is not None and cost.latency_ms is not None and cost.latency_ms > budget.latency_ms:
        parts.append(f"latency {cost.latency_ms:.2f} ms of {budget.latency_ms:g} ms")
    needs = "it needs " + ", ".join(parts) if parts else "it does not fit"
    binds = f"; {fitted.binds}" if fitted.binds else ""
    return OverBudget(f"over budget: {needs}, and {why}{binds}", spent(cost))


def spent(cost: Cost) -> dict[str, float]:
    """A cost in the report's words."""
    words: dict[str, float] = {"flash": cost.flash_bytes, "ram": cost.ram_bytes}
    if cost.latency_ms is not None:
        words["latency_ms"] = cost.latency_ms
    return words
