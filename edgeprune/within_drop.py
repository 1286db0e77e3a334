"""The smallest network within a loss of the task's metric: widths searched by training them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgeprune.config import Objective
from edgeprune.errors import OverBudget
from edgeprune.progress import Progress
from edgeprune.prune import Choice, Limits, choose, narrowest, smallest
from edgeprune.recover import Recovered
from edgeprune.subject import Subject

__all__ = ["TRIALS", "Within", "smallest_within"]

TRIALS = 4
"""How many networks are trained: each halves, in ratio, what is not known of the loss that training makes good."""
_LEAST_SHARE = 1e-3
"""Of the loss that the curves predict for the narrowest network, the share from which the search begins."""


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

    What a cut loses before training orders networks well, and says little about what they lose after it. So the
    loss that the curves may predict is searched for by bisection, and what is left after training decides.

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
    most = narrowest(subject.curves, subject.table).predicted_loss
    low = max(_LEAST_SHARE * most, choose(subject.curves, subject.table, limits).predicted_loss)
    high = max(low, most)
    tried: list[Within] = []
    for number in range(TRIALS):
        allowed = math.sqrt(low * high)
        choice = smallest(subject.curves, subject.table, goal, allowed, limits)
        one = next((other for other in tried if dict(other.choice.widths) == dict(choice.widths)), None)
        if one is None:
            one = attempt(choice, number)
            tried.append(one)
        progress.say(f"a network of {_size(one.choice)} loses {one.points_lost:.2f} points")
        low, high = (allowed, high) if one.points_lost <= points else (low, allowed)
    held = [one for one in tried if one.points_lost <= points]
    if not held:
        best = min(tried, key=lambda one: one.points_lost)
        raise OverBudget(
            f"over budget: of {len(tried)} networks tried none loses at most {points:g} points; a network of "
            f"{_size(best.choice)} loses {best.points_lost:.2f}: allow that, or train longer with --effort"
        )
    return min(held, key=lambda one: _use(one.choice, goal))


def _size(choice: Choice) -> str:
    return f"{choice.resources.macs:,} multiply-accumulates and {choice.resources.parameters:,} parameters"


def _use(choice: Choice, goal: Objective) -> int:
    used = choice.resources
    return {"latency": used.cycles, "ram": used.ram_bytes, "flash": used.flash_bytes}[goal]
