"""Finding the program of a fixed network that fits as linked and as run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from edgeprune.compile import Build, measure
from edgeprune.config import Budget
from edgeprune.errors import OverBudget
from edgeprune.plan import Objective
from edgeprune.plan.objective import GOALS
from edgeprune.progress import Progress
from edgeprune.verdict import Cost, missed, spent, worst_excess

__all__ = ["Compiler", "Fitted", "fit_program", "over_budget"]

_ATTEMPTS = 10
_NOTICEABLE = 1.01
_WORTH_SHARING = 0.8
"""From this share of the flash budget on, what layers share of their code may decide."""
_LESS_STACK = (0.9, 0.75)
"""Shares of the least memory seen beside the arena that other kernels may do with: their frames differ."""
_NEAR = 1.25
"""Up to this excess over a limit, what no estimate knows may decide: plans of every goal are then tried."""


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


class Compiler(Protocol):
    """Compiles one network within limits, in a directory; with all its channels, or without those that are constant."""

    def __call__(self, limits: Objective, directory: Path, /, *, compacted: bool) -> Build:
        """Raises OverBudget where no plan keeps the limit on RAM."""
        ...


def fit_program(
    compiled: Compiler, budget: Budget, goal: Objective, directory: Path, progress: Progress
) -> Fitted:
    """The program that fits, or the one whose worst excess over a limit is least; with all channels where that helps.

    `goal` says what to spend least of; its limits are set here.

    A network without its constant channels takes less, as a rule. What is left of a layer may be a number of channels
    that no fast kernel likes, so where that misses the budget narrowly, the network is tried as it came.
    """
    found = _search(partial(compiled, compacted=True), budget, goal, directory, progress)
    near = worst_excess(found.cost, budget) <= _NEAR
    if found.fits or not near or not found.build.lossless_channels:
        return found
    whole = partial(compiled, compacted=False)
    with_all = _search(whole, budget, goal, directory / "with_all", progress)
    return min(found, with_all, key=lambda one: (not one.fits, worst_excess(one.cost, budget)))


def _search(
    compiled: Callable[[Objective, Path], Build],
    budget: Budget,
    goal: Objective,
    directory: Path,
    progress: Progress,
) -> Fitted:
    """Plan, link, run and compare; where the measurement misses the budget, plan again with other limits.

    The plan limits the arena and the kernels' estimated flash, the budget the linked image with its stack; the
    difference is learnt from each measurement, first of all what RAM goes to stack and context; a plan that fits is
    tried again where its own measurement leaves more to the arena. What layers share of their code, which no estimate
    knows, is found by halving between a flash limit that was held and an estimate that was not. Where time is missed,
    the fastest kernels that the memory allows are tried, whatever is optimized. Where that nearly fits, each goal's
    plan without a limit on estimates is tried too: it may share most code. Where memory alone is nearly kept, so are
    larger arenas that kernels with less stack would leave room for. A network that does not fit comes with the program
    whose worst excess over a limit is least.
    """

    def attempt(limits: Objective, place: Path) -> _Attempt:
        binds, least = None, None
        try:
            built = compiled(limits, place)
        except OverBudget as error:
            binds = str(error)
            smallest = replace(limits, optimize="ram", ram_bytes=None, ram_exchange=0)
            built = compiled(smallest, place / "least")
            least = built.program.arena_bytes
        cost = _measure(built, progress)
        held = built.program.fits_memories and built.program.leaves_room(
            cost.ram_bytes - built.program.arena_bytes
        )
        fits = cost.fits(budget) and held
        return _Attempt(limits, Fitted(built, cost, fits, None if fits else binds), least)

    limits: Objective | None = replace(goal, flash_bytes=budget.flash_bytes, ram_bytes=budget.ram_bytes)
    done: list[_Attempt] = []
    while limits is not None and len(done) < _ATTEMPTS:
        done.append(attempt(limits, directory / f"attempt_{len(done)}"))
        limits = _with_more_ram(done, budget) if _any_fits(done) else _next(done, budget, goal)
    if _any_fits(done):
        return min((one.fitted for one in done if one.fitted.fits), key=lambda one: _amounts(one.cost, goal))
    best = min((one.fitted for one in done), key=lambda one: worst_excess(one.cost, budget))
    if "ram" not in missed(best.cost, budget):
        return replace(best, binds=None)  # A plan may have been refused for a limit that was guessed.
    refusals = [one.fitted.binds for one in done if one.fitted.binds]
    return best if best.binds or not refusals else replace(best, binds=refusals[-1])


def _measure(built: Build, progress: Progress) -> Cost:
    """What one inference takes, on zeros."""
    import numpy as np

    zeros = tuple(np.zeros((1, *t.shape), t.dtype) for t in built.graph.inputs)
    return measure(built, zeros, progress)[1]


def _any_fits(done: list[_Attempt]) -> bool:
    return any(one.fitted.fits for one in done)


def _amounts(cost: Cost, goal: Objective) -> tuple[float, ...]:
    """What is spent, of what `goal` asks for first to what it asks for last."""
    spent_on = {"latency": cost.latency_ms or 0.0, "ram": cost.ram_bytes, "flash": cost.flash_bytes}
    return tuple(float(spent_on[name]) for name in goal.priorities)


def _with_more_ram(done: list[_Attempt], budget: Budget) -> Objective | None:
    """The limits of the plan that fits, with the arena that its own stack leaves; None where that is no more."""
    last = done[-1]
    if budget.ram_bytes is None or not last.fitted.fits or last.limits.ram_bytes is None:
        return None
    room = budget.ram_bytes - _outside_bytes(last)
    return replace(last.limits, ram_bytes=room) if room > last.limits.ram_bytes else None


def _next(done: list[_Attempt], budget: Budget, goal: Objective) -> Objective | None:
    """The limits to plan within next; None where nothing is left that has not been planned within."""
    tried = [one.limits for one in done]
    learnt = _learnt(done, budget, goal)
    if learnt is not None and learnt not in tried:
        return learnt
    others = _with_less_stack(done, budget, goal)
    if min(worst_excess(one.fitted.cost, budget) for one in done) <= _NEAR:
        room = max((_room(one, done, budget) or 0 for one in done), default=0) or None
        orders = (goal.optimize, *GOALS)
        others += [replace(goal, optimize=order, flash_bytes=None, ram_bytes=room) for order in orders]
    return next((one for one in others if one not in tried), None)


def _with_less_stack(done: list[_Attempt], budget: Budget, goal: Objective) -> list[Objective]:
    """Limits on the arena that are right for kernels with less stack than any so far, where RAM is nearly kept."""
    if budget.ram_bytes is None or min(one.fitted.cost.ram_bytes for one in done) > _NEAR * budget.ram_bytes:
        return []
    outside = min(_outside_bytes(one) for one in done)
    rooms = (budget.ram_bytes - int(share * outside) for share in _LESS_STACK)
    least = max(one.least_arena_bytes or 1 for one in done)
    seen = [(one.fitted.build.program.arena_bytes, one.limits.ram_bytes or 0) for one in done]
    limits = replace(goal, flash_bytes=budget.flash_bytes)
    return [
        replace(limits, ram_bytes=room)
        for room in rooms
        if room >= least and not any(arena <= room <= limit for arena, limit in seen)
    ]


def _learnt(done: list[_Attempt], budget: Budget, goal: Objective) -> Objective | None:
    """The limits that the last measurements suggest."""
    last = done[-1]
    if any(_late(one, budget) for one in done):
        goal = replace(goal, optimize="latency")
    within_ram = replace(goal, flash_bytes=None, ram_bytes=_room(last, done, budget))
    if budget.flash_bytes is None:
        return within_ram
    if len(done) == 1 and last.fitted.cost.flash_bytes > _WORTH_SHARING * budget.flash_bytes:
        # Estimates count shared code once for each layer: a plan that they would refuse may link smallest.
        return within_ram
    flash = _next_flash([one for one in done if one.limits.flash_bytes is not None], budget)
    return None if flash is None else replace(within_ram, flash_bytes=flash)


def _room(attempt: _Attempt, done: list[_Attempt], budget: Budget) -> int | None:
    """The arena that the budget leaves beside what `attempt` took outside of it.

    Where no plan is as small as that, the others are sought in the smallest there is.
    """
    if budget.ram_bytes is None:
        return None
    return max(1, budget.ram_bytes - _outside_bytes(attempt), *(one.least_arena_bytes or 0 for one in done))


def _outside_bytes(attempt: _Attempt) -> int:
    """What was measured beside the arena: stack, context and static data."""
    return attempt.fitted.cost.ram_bytes - attempt.fitted.build.program.arena_bytes


def _next_flash(done: list[_Attempt], budget: Budget) -> int | None:
    """The next limit on the estimate: from what was measured, then halfway between what held and what did not.

    None where the plan has nothing smaller to offer.
    """
    last, most = done[-1], budget.flash_bytes
    limit, estimate, linked = (
        last.limits.flash_bytes,
        last.estimated_flash_bytes,
        last.fitted.cost.flash_bytes,
    )
    assert limit is not None
    assert most is not None
    if linked > most and estimate > limit:
        return None
    if linked <= most and not _late(last, budget):
        return limit
    missed = min(
        (one.estimated_flash_bytes for one in done if one.fitted.cost.flash_bytes > most), default=None
    )
    held = max(
        (one.limits.flash_bytes or 0 for one in done if one.fitted.cost.flash_bytes <= most), default=None
    )
    if missed is not None and held is not None and held < missed:
        return (held + missed) // 2 if missed > held * _NOTICEABLE else limit
    room = max(1, most - (linked - estimate))
    return min(room, limit) if linked > most else _loosened(limit, room)


def _late(attempt: _Attempt, budget: Budget) -> bool:
    taken = attempt.fitted.cost.latency_ms
    return taken is not None and budget.latency_ms is not None and taken > budget.latency_ms


def _loosened(limit: int | None, room: int) -> int:
    """`room` as the new limit, unless it is hardly more than the old one: then the plan would be the same."""
    return limit if limit is not None and limit <= room <= limit * _NOTICEABLE else room


def over_budget(fitted: Fitted, budget: Budget, why: str) -> OverBudget:
    """The refusal of a network that does not fit, with what it takes."""
    parts = missed(fitted.cost, budget).values()
    needs = "it needs " + ", ".join(parts) if parts else "it does not fit"
    binds = f"; {fitted.binds}" if fitted.binds else ""
    return OverBudget(f"over budget: {needs}, and {why}{binds}", spent(fitted.cost))
