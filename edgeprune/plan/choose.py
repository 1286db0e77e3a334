"""The choice of one kernel candidate per step: an integer programme over candidates and memory rows.

One candidate per step; the flash of all within the flash budget; and for every step the bytes it needs (what
is alive, less what its candidate may overlap, plus its scratch) and all persistent parts within the RAM budget.
Goals are met one after another: the least of the first, then the least of the second among those, and so on.

Without a binding flash budget and without persistent parts the steps do not depend on one another, and the
optimum is found by looking at each; otherwise HiGHS solves the programme.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack

from edgeprune.errors import EnvironmentFailure
from edgeprune.kernels.base import Candidate
from edgeprune.plan.objective import Objective

__all__ = ["Option", "choose", "runner_up", "sensible"]

_SECONDS = 20.0
_INFEASIBLE = 2
"""scipy's status of a milp without a solution."""


@dataclass(frozen=True)
class Option:
    """A candidate for a step, with the bytes of RAM the step needs when it runs."""

    candidate: Candidate
    need_bytes: int

    def rank(self, objective: Objective) -> tuple[int, ...]:
        """What the option costs by `objective`, first things first."""
        return tuple(_METRICS[goal](self) for goal in objective.priorities)


Options = Sequence[Sequence[Option]]
"""Per step, what it may run."""

_METRICS: dict[str, Callable[[Option], int]] = {
    "latency": lambda option: option.candidate.cycles,
    "ram": lambda option: option.need_bytes,
    "flash": lambda option: option.candidate.flash_bytes,
}


def sensible(options: Sequence[Option]) -> tuple[Option, ...]:
    """`options` without those that another equals or beats in cycles, flash and every kind of memory."""
    kept: list[Option] = []
    for option in sorted(options, key=_costs):
        if not any(_beats(other, option) for other in kept):
            kept.append(option)
    return tuple(kept)


def runner_up(options: Sequence[Option], chosen: Option, objective: Objective) -> Candidate | None:
    """The best of the other candidates for the step, or None when there is no other."""
    others = [option for option in options if option.candidate.name != chosen.candidate.name]
    best = min(
        others,
        key=lambda option: tuple(_METRICS[goal](option) for goal in objective.priorities),
        default=None,
    )
    return best.candidate if best else None


def choose(options: Options, objective: Objective, limits: Sequence[int | None]) -> tuple[Option, ...] | None:
    """One option per step by `objective`, `limits` being each step's RAM limit; None when nothing meets both.

    Raises:
        EnvironmentFailure: the solver gave up.
    """
    if not options:
        return ()
    within = [
        [o for o in step if limit is None or o.need_bytes + o.candidate.persistent_bytes <= limit]
        for step, limit in zip(options, limits, strict=True)
    ]
    if not all(within):
        return None
    if not any(option.candidate.persistent_bytes for step in within for option in step):
        apart = _choose_apart(within, objective)
        flash = sum(option.candidate.flash_bytes for option in apart)
        if objective.flash_bytes is None or flash <= objective.flash_bytes:
            return apart
    return _choose_together(within, objective, limits)


def _choose_apart(options: Options, objective: Objective) -> tuple[Option, ...]:
    """The optimum when steps are independent: goal by goal, each step keeps what cannot cost the optimum."""
    for goal in objective.priorities:
        metric = _METRICS[goal]
        best = [min(map(metric, step)) for step in options]
        caps = [max(best)] * len(best) if goal == "ram" else best
        options = [[o for o in step if metric(o) <= cap] for step, cap in zip(options, caps, strict=True)]
    return tuple(step[0] for step in options)


def _choose_together(
    options: Options, objective: Objective, limits: Sequence[int | None]
) -> tuple[Option, ...] | None:
    """The integer programme: a binary per option, and the arena's height as the last variable."""
    flat = [(step, option) for step, choices in enumerate(options) for option in choices]
    rows = np.array([step for step, _ in flat])
    columns = np.arange(len(flat))
    persistent = np.array([float(option.candidate.persistent_bytes) for _, option in flat])
    flash = np.array([float(option.candidate.flash_bytes) for _, option in flat] + [0.0])
    shape = (len(options), len(flat))
    one_each = csr_array((np.ones(len(flat)), (rows, columns)), shape=shape)
    needs = csr_array(
        (np.array([float(option.need_bytes) for _, option in flat]), (rows, columns)), shape=shape
    )
    needs = needs + csr_array(np.broadcast_to(persistent, shape))
    zero, one = csr_array((len(options), 1)), csr_array(np.ones((len(options), 1)))
    ceilings = np.array([np.inf if limit is None else float(limit) for limit in limits])
    constraints = [
        LinearConstraint(hstack([one_each, zero]), 1.0, 1.0),
        LinearConstraint(hstack([needs, zero]), -np.inf, ceilings),
        LinearConstraint(hstack([needs, -one]), -np.inf, 0.0),
    ]
    if objective.flash_bytes is not None:
        constraints.append(LinearConstraint(flash, -np.inf, float(objective.flash_bytes)))
    goals = {
        "latency": np.array([float(option.candidate.cycles) for _, option in flat] + [0.0]),
        "ram": np.array([0.0] * len(flat) + [1.0]),
        "flash": flash,
    }
    picked: tuple[Option, ...] | None = None
    for goal in objective.priorities:
        solution = _solve(goals[goal], constraints)
        if solution is None:
            break
        picked = tuple(option for (_, option), taken in zip(flat, solution, strict=False) if taken > 0.5)
        constraints.append(
            LinearConstraint(goals[goal], -np.inf, float(np.round(goals[goal] @ solution)) + 0.5)
        )
    return picked


def _solve(
    goal: npt.NDArray[np.float64], constraints: Sequence[LinearConstraint]
) -> npt.NDArray[np.float64] | None:
    """The binaries and the height that minimise `goal`; None when the constraints contradict one another."""
    binaries = len(goal) - 1
    scale = max(float(np.abs(goal).max()), 1.0)
    result = milp(
        goal / scale,
        integrality=np.array([1] * binaries + [0]),
        bounds=Bounds(0.0, np.array([1.0] * binaries + [np.inf])),
        constraints=constraints,
        options={"time_limit": _SECONDS, "mip_rel_gap": 0.0},
    )
    if result.status == _INFEASIBLE:
        return None
    if result.x is None:
        raise EnvironmentFailure(f"HiGHS gave up on the choice of kernels: {result.message}")
    solution: npt.NDArray[np.float64] = result.x
    return solution


def _costs(option: Option) -> tuple[int, ...]:
    candidate = option.candidate
    return (
        candidate.cycles,
        option.need_bytes,
        candidate.flash_bytes,
        candidate.scratch_bytes,
        candidate.persistent_bytes,
    )


def _beats(one: Option, other: Option) -> bool:
    """Whether `one` is at least as good as `other` in everything, freedom to overlap included."""
    if any(a > b for a, b in zip(_costs(one), _costs(other), strict=True)):
        return False
    looser = zip(one.candidate.overlap, other.candidate.overlap, strict=False)
    apart = len(one.candidate.overlap) < len(other.candidate.overlap)
    return not apart and all(b is None or (a is not None and a <= b) for a, b in looser)
