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

__all__ = ["TRIALS", "Within", "smallest_within"]

TRIALS = 5
"""How many networks are trained: each halves, in ratio, what is not known of the least size."""
_AXES = {"latency": "cycles", "ram": "ram_bytes", "flash": "flash_bytes"}


@dataclass(frozen=True, eq=False)
class Within:
    """A trained network and by how many points of the metric its int8 form is worse than the original."""

    choice: Choice
    recovered: Recovered
    points_lost: float


def smallest_within(
    subject: Subject,
    points: float,
    goal: Objective,
    limits: Limits,
    attempt: Callable[[Choice, int], Within],
    progress: Progress,
) -> Within:
    """The network that uses least of `goal` among those tried that lose at most `points`.

    Sizes between the narrowest network and the widest within the limits are searched by bisection, in ratio. At
    each the widths of least predicted loss are trained; what is lost after training decides, because what a cut
    loses before it says little.

    Args:
        subject: The network and its curves.
        points: The most that may be lost, as `attempt` measures it.
        goal: What to use least of.
        limits: What the network may use besides, by its cost table.
        attempt: Cuts and trains the network to a choice of widths; told the number of the attempt.
        progress: Told of every attempt.

    Raises:
        OverBudget: every network tried loses more; the sentence says how much the best one loses.
    """
    axis = _AXES[goal]
    most = choose(subject.curves, subject.table, limits)
    low = getattr(narrowest(subject.curves, subject.table).resources, axis)
    high = getattr(most.resources, axis)
    tried: list[Within] = []
    for number in range(TRIALS):
        size = math.ceil(math.sqrt(low * high))
        choice = choose(subject.curves, subject.table, replace(limits, **{axis: size}))
        if any(dict(one.choice.widths) == dict(choice.widths) for one in tried):
            break
        one = attempt(choice, number)
        tried.append(one)
        progress.say(f"a network of {_size(choice)} loses {one.points_lost:.2f} points")
        low, high = (low, size) if one.points_lost <= points else (size, high)
    held = [one for one in tried if one.points_lost <= points]
    if not held:
        best = min(tried, key=lambda one: one.points_lost)
        raise OverBudget(
            f"over budget: of {len(tried)} networks tried none loses at most {points:g} points; one of "
            f"{_size(best.choice)} loses {best.points_lost:.2f}: allow that, or train longer with --effort"
        )
    return min(held, key=lambda one: int(getattr(one.choice.resources, axis)))


def _size(choice: Choice) -> str:
    return f"{choice.resources.macs:,} multiply-accumulates and {choice.resources.parameters:,} parameters"
