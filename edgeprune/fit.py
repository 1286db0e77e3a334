"""Finding the program of a fixed network that fits as linked and as run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgeprune.compile import Build, Cost, compile_network, measure
from edgeprune.config import Budget
from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.graph.ir import Array
from edgeprune.plan import Objective
from edgeprune.progress import Progress

__all__ = ["Fitted", "fit_program", "missed", "over_budget", "spent", "worst_excess"]

_ATTEMPTS = 6
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


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A plan within `limits`, built and measured. `least_arena_bytes`: the plan found no arena below this."""

    limits: Objective
    fitted: Fitted
    least_arena_bytes: int | None

    @property
    def estimated_flash_bytes(self) -> int:
        return sum(step.candidate.flash_bytes for step in self.fitted.build.program.steps)


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
    difference is learnt from each measurement, and what layers share of their code, which no estimate knows, by
    halving between a flash limit that was held and an estimate that was not. Where time is missed, the fastest kernels
    that the memory allows are tried, whatever is optimized. `sample` is one stored inference, or None for zeros. A
    network that does not fit comes with the program whose worst excess over a limit is least.
    """

    def attempt(limits: Objective, place: Path) -> _Attempt:
        binds, least = None, None
        try:
            built = compile_network(onnx, name, device, limits, place, progress)
        except OverBudget as error:
            binds = str(error)
            smallest = Objective("ram", limits.flash_bytes)
            built = compile_network(onnx, name, device, smallest, place / "least", progress)
            least = built.program.arena_bytes
        cost = _measure(built, sample, progress)
        fits = cost.fits(budget)
        return _Attempt(limits, Fitted(built, cost, fits, None if fits else binds), least)

    limits: Objective | None = Objective(
        optimize, budget.flash_bytes, _less(budget.ram_bytes, _FIRST_GUESS_OF_STACK_BYTES)
    )
    done: list[_Attempt] = []
    while limits is not None and len(done) < _ATTEMPTS:
        done.append(attempt(limits, directory / f"attempt_{len(done)}"))
        limits = None if done[-1].fitted.fits else _next(done, budget, optimize)
    best = min((one.fitted for one in done), key=lambda one: (not one.fits, worst_excess(one.cost, budget)))
    refusals = [one.fitted.binds for one in done if one.fitted.binds]
    return best if best.fits or best.binds or not refusals else replace(best, binds=refusals[0])


def _measure(built: Build, sample: tuple[Array, ...] | None, progress: Progress) -> Cost:
    import numpy as np

    stored = sample or tuple(np.zeros((1, *t.shape), t.dtype) for t in built.graph.inputs)
    return measure(built, stored, progress)[1]


def _next(done: list[_Attempt], budget: Budget, optimize: str) -> Objective | None:
    """The limits to plan within next; None where they would be some that have been planned within."""
    last = done[-1]
    cost, arena = last.fitted.cost, last.fitted.build.program.arena_bytes
    late = budget.latency_ms is not None and (cost.latency_ms or 0.0) > budget.latency_ms
    ram = last.limits.ram_bytes
    if budget.ram_bytes is not None:
        # Where no plan is as small as the budget, the others are sought in the smallest there is.
        room = max(
            1, budget.ram_bytes - (cost.ram_bytes - arena), *(one.least_arena_bytes or 0 for one in done)
        )
        ram = _loosened(ram, room)
    flash = last.limits.flash_bytes
    if budget.flash_bytes is not None and flash is not None:
        if cost.flash_bytes > budget.flash_bytes and last.estimated_flash_bytes > flash:
            return None  # The plan has nothing smaller to offer.
        flash = _next_flash(done, budget.flash_bytes, late)
    found = Objective("latency" if late else optimize, flash, ram)
    return None if any(found == one.limits for one in done) else found


def _next_flash(done: list[_Attempt], budget: int, late: bool) -> int:
    """The next limit on the estimate: from what was measured, then halfway between what held and what did not."""
    last = done[-1]
    limit, estimate, linked = (
        last.limits.flash_bytes or budget,
        last.estimated_flash_bytes,
        last.fitted.cost.flash_bytes,
    )
    missed = min(
        (one.estimated_flash_bytes for one in done if one.fitted.cost.flash_bytes > budget), default=None
    )
    held = max(
        (one.limits.flash_bytes or 0 for one in done if one.fitted.cost.flash_bytes <= budget), default=None
    )
    if linked <= budget and not late:
        return limit
    if missed is not None and held is not None and held < missed:
        return (held + missed) // 2 if missed > held * _NOTICEABLE else limit
    room = max(1, budget - (linked - estimate))
    return min(room, limit) if linked > budget else _loosened(limit, room)


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
