"""The smallest network within a loss of the task's metric: sizes searched by training networks of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeprune.compress.recover import Recovered
from edgeprune.compress.subject import Subject
from edgeprune.config import Objective
from edgeprune.errors import OverBudget
from edgeprune.progress import Progress
from edgeprune.prune import Choice, Limits, choose, narrowest

__all__ = ["TRIALS", "Within", "within"]

TRIALS = 4
"""How many networks are trained: each halves, in ratio, what is not known of the least size."""
_AXES = {"latency": "cycles", "ram": "ram_bytes", "flash": "flash_bytes"}


@dataclass(frozen=True, eq=False)
class Within:
    """A trained network and by how many points of the metric its int8 form is worse than the original."""

    choice: Choice
    recovered: Recovered
    points_lost: float


def within(
    subject: Subject,
    widest: Choice,
    points: float,
    goal: Objective,
    limits: Limits,
    attempt: Callable[[Choice, int], Within],
    progress: Progress,
) -> tuple[Within, ...]:
    """The networks tried that lose at most `points`, the one that uses least of `goal` first.

    Sizes between the narrowest network and `widest` are searched by bisection, in ratio; `widest` itself is tried
    where nothing smaller will do. At each size the widths of least predicted loss are trained; what is lost after
    training decides, because what a cut loses before it says little.

    Args:
        subject: The network and its curves.
        widest: Widths that keep the budget, as built.
        points: The most that may be lost, as `attempt` measures it.
        goal: What to use least of.
        limits: What the network may use besides, by its cost table.
        attempt: Cuts and trains the network to a choice of widths; told the number of the attempt.
        progress: Told of every attempt.

    Raises:
        OverBudget: every network tried loses more; the sentence says how much the best one loses.
    """
    axis = _AXES[goal]
    low = getattr(narrowest(subject.curves, subject.table).resources, axis)
    high = getattr(widest.resources, axis)
    tried: list[Within] = []

    def lost_by(choice: Choice) -> float:
        tried.append(attempt(choice, len(tried)))
        progress.say(f"a network of {_size(choice)} loses {tried[-1].points_lost:.2f} points")
        return tried[-1].points_lost

    while len(tried) < TRIALS:
        size = math.ceil(math.sqrt(low * high))
        choice = choose(subject.curves, subject.table, replace(limits, **{axis: size}))
        if any(dict(one.choice.widths) == dict(choice.widths) for one in tried):
            break
        low, high = (low, size) if lost_by(choice) <= points else (size, high)
    if all(one.points_lost > points for one in tried):
        lost_by(widest)
    held = sorted(
        (one for one in tried if one.points_lost <= points),
        key=lambda one: int(getattr(one.choice.resources, axis)),
    )
    if held:
        return tuple(held)
    best = min(tried, key=lambda one: one.points_lost)
    raise OverBudget(
        f"over budget: of {len(tried)} networks tried none loses at most {points:g} points; one of "
        f"{_size(best.choice)} loses {best.points_lost:.2f}: allow that, or train longer with --effort"
    )


def _size(choice: Choice) -> str:
    return f"{choice.resources.macs:,} multiply-accumulates and {choice.resources.parameters:,} parameters"
