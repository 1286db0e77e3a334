"""`minimize`: the best widths within limits, and how close to the optimum they are proven to be.

The Lagrangian dual gives a bound and good widths. Often they are within the gap that is asked for; where they are
not, it also says which widths no better choice can have, and HiGHS searches among those that are left, beginning
with the best known.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edgeprune.prune.lagrangian import Bounds, ascend, search
from edgeprune.prune.moves import Moves
from edgeprune.prune.pairwise import Positions
from edgeprune.prune.programme import Outcome, Remaining, solve
from edgeprune.prune.relaxation import Problem, Relaxation

__all__ = ["GAP", "Optimum", "minimize"]

GAP = 1e-3
"""The relative gap to the optimum that is good enough."""
_SEARCHES = 4
_MOST_PAIRS = 12_000
"""HiGHS solves a programme of so many variables in seconds; each further search may have twice as many."""
_TIGHT = 1e-9


@dataclass(frozen=True)
class Optimum:
    """The best choice found, if any, with its objective, and the proven relative gap to the optimum.

    `impossible`: no choice holds the limits, which is proven.
    """

    positions: Positions | None
    objective: float
    gap: float
    impossible: bool


def minimize(problem: Problem, time_limit_s: float, gap: float = GAP) -> Optimum:
    """Minimise until the gap is proven or the time is up. Only the time can make two runs differ."""
    end = time.monotonic() + time_limit_s
    relaxation = Relaxation(problem)
    bounds = search(relaxation) if relaxation.elimination is None else ascend(relaxation, gap)
    for attempt in range(_SEARCHES):
        left = end - time.monotonic()
        if bounds.gap <= gap or bounds.low > relaxation.most + _TIGHT or left <= 0:
            break
        _narrow(relaxation, bounds, _MOST_PAIRS << attempt, gap, left)
    if bounds.best is None:
        return Optimum(None, np.inf, np.inf, impossible=bounds.low > relaxation.most + _TIGHT)
    return Optimum(bounds.best, problem.objective.at(bounds.best), bounds.gap, impossible=False)


def _narrow(relaxation: Relaxation, bounds: Bounds, most_pairs: int, gap: float, time_limit_s: float) -> None:
    """One search by HiGHS among the widths whose bound is least; raises `low`, lowers `high`."""
    remaining, threshold = _remaining(relaxation, bounds, most_pairs)
    outcome = solve(relaxation, remaining, bounds.best, _good_enough(bounds.low, gap), gap, time_limit_s)
    _take(relaxation, bounds, outcome)
    # A better choice is either among those searched, or takes what was left out.
    bounds.low = max(bounds.low, min(outcome.bound, threshold, bounds.high))


def _remaining(relaxation: Relaxation, bounds: Bounds, most_pairs: int) -> tuple[Remaining, float]:
    """The widths to search among, those of the best known choice included, and the bound of all others."""
    if relaxation.elimination is None:
        singles = [np.isfinite(table[0]) for table in relaxation.singles]
        pairs = {pair: np.isfinite(relaxation.of_pair(pair)[1][0]) for pair in relaxation.pairs}
        return Remaining(singles, pairs), np.inf
    marginals = relaxation.marginals(bounds.multipliers)
    threshold = min(bounds.high, relaxation.most + _TIGHT)
    entries = np.concatenate([table.ravel() for table in (*marginals.pairs.values(), np.zeros(0))])
    possible = entries[entries <= threshold]
    if len(possible) > most_pairs:
        threshold = float(np.partition(possible, most_pairs)[most_pairs])
    singles = [table <= threshold + _TIGHT for table in marginals.singles]
    pairs = {pair: table <= threshold + _TIGHT for pair, table in marginals.pairs.items()}
    if bounds.best is not None:
        for group, mask in enumerate(singles):
            mask[bounds.best[group]] = True
        for (i, j), mask in pairs.items():
            mask[bounds.best[i], bounds.best[j]] = True
    excluded = threshold if threshold < relaxation.most else np.inf
    return Remaining(singles, pairs), excluded


def _take(relaxation: Relaxation, bounds: Bounds, outcome: Outcome) -> None:
    """Offer what HiGHS found; where its tolerance let it exceed a limit, after repair."""
    if outcome.positions is None:
        return
    moves = Moves(relaxation)
    held = moves.repaired(outcome.positions, bounds.multipliers)
    if held is not None:
        better = moves.polished(held, bounds.multipliers)
        bounds.offer(better, float(relaxation.costs_at(better)[0]))


def _good_enough(low: float, gap: float) -> float:
    """The highest objective whose gap to `low` is within `gap`."""
    return low / (1 - gap) if low > 0 else low + gap * abs(low)
