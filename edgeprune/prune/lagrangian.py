"""The Lagrangian dual of a problem over widths: a lower bound, the multipliers that give it, and good widths.

The dual is maximised with cutting planes (J. E. Kelley, 1960): each solution of the relaxed problem is a plane that
lies on or above the dual, and the next multipliers are between the best so far and those where the planes are
highest (W. Ben-Ameur and J. Neto, "Acceleration of cutting-plane and column generation algorithms", Networks 2007).
There are as many multipliers as limits, a handful, so that some dozen solutions of the relaxed problem are enough.
Widths that break a limit are repaired, and what holds all limits is improved, one or two groups at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np

from edgeprune.prune.moves import Moves
from edgeprune.prune.pairwise import Array, Positions
from edgeprune.prune.relaxation import Relaxation

__all__ = ["Bounds", "ascend", "relative_gap", "search"]

_ITERATIONS = 150
_FIRST_PRICE = 10.0
_HIGHEST_PRICE = 1e7
_CLOSE = 1e-5
"""The dual is known where the planes leave it no more than this share of the objective's range."""
_REPAIR_EVERY = 10
_LAST_REPAIRS = 12
_LAST_POLISHES = 4
_NEGLIGIBLE = 1e-3
"""Objectives below this share of their range are not told apart: gaps are relative to no less."""


@dataclass
class Bounds:
    """What is known of a problem, in units of the relaxation: the optimum lies between `low` and `high`.

    `best` are the widths that take `high`; None, with infinity, where none are known. A `low` of infinity: proven
    that there are none. `solutions` are widths that solved the relaxed problem, with their bounds, and `held` widths
    that hold the limits, with their objectives.
    """

    low: float
    high: float
    best: Positions | None
    multipliers: Array
    solutions: dict[Positions, float] = field(default_factory=dict)
    held: dict[Positions, float] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """How much less than `high` the optimum may be, relative to it; 0 where there is proven to be none."""
        return relative_gap(self.low, self.high)

    def offer(self, positions: Positions, objective: float) -> None:
        """Note widths that hold the limits; they may be the best so far."""
        self.held[positions] = objective
        if objective < self.high:
            self.high, self.best = objective, positions


def relative_gap(low: float, high: float) -> float:
    """(high - low) / high, for a `high` that is not negligible."""
    if low >= high:
        return 0.0
    return (high - low) / max(abs(high), _NEGLIGIBLE) if np.isfinite(high) and np.isfinite(low) else np.inf


def ascend(relaxation: Relaxation, gap: float) -> Bounds:
    """Maximise the dual until the optimum is known within `gap`, or the dual is as high as it gets."""
    moves, count = Moves(relaxation), relaxation.multipliers
    planes = _Planes(count, relaxation.most)
    bounds = Bounds(-np.inf, np.inf, None, np.zeros(count))
    multipliers, highest, step = bounds.multipliers, np.inf, 0.5
    for iteration in range(_ITERATIONS):
        value, positions = relaxation.minimum(multipliers)
        if not np.isfinite(value) or value > relaxation.most + _CLOSE:
            bounds.low = np.inf
            return bounds
        costs = relaxation.costs_at(positions)
        if value > bounds.low:
            bounds.low, bounds.multipliers = value, multipliers
        if positions in bounds.solutions:
            step = 1.0
        else:
            bounds.solutions[positions] = value
            planes.add(costs)
            if (costs[1:] <= 0).all() or iteration % _REPAIR_EVERY == 0:
                _repair(relaxation, moves, bounds, positions)
            step = 0.5
        if bounds.gap <= gap:
            return bounds
        highest, peak = planes.highest()
        if highest - bounds.low <= _CLOSE * max(abs(bounds.low), _NEGLIGIBLE):
            if not planes.raise_prices(peak):
                break
            highest, peak = planes.highest()
        multipliers = bounds.multipliers + step * (peak - bounds.multipliers)
    closest = sorted(bounds.solutions, key=lambda one: -bounds.solutions[one])
    for positions in closest[:_LAST_REPAIRS]:
        _repair(relaxation, moves, bounds, positions)
        if bounds.gap <= gap:
            return bounds
    for positions, _ in sorted(bounds.held.items(), key=lambda one: one[1])[:_LAST_POLISHES]:
        _offer(relaxation, bounds, moves.polished(positions, bounds.multipliers))
        if bounds.gap <= gap:
            break
    return bounds


def search(relaxation: Relaxation) -> Bounds:
    """Widths by changes of one or two groups alone, for a problem that no elimination solves.

    The bound is what every table costs at its least, which is the optimum only where narrow is best.
    """
    least = relaxation.least_costs()
    low = np.inf if (least[1:] > 0).any() else float(least[0])
    bounds = Bounds(low, np.inf, None, np.zeros(relaxation.multipliers))
    if np.isinf(low):
        return bounds
    moves = Moves(relaxation)
    for start in (tuple(size - 1 for size in relaxation.sizes), (0,) * len(relaxation.sizes)):
        _repair(relaxation, moves, bounds, start)
    if bounds.best is not None:
        _offer(relaxation, bounds, moves.polished(bounds.best, bounds.multipliers))
    return bounds


def _repair(relaxation: Relaxation, moves: Moves, bounds: Bounds, positions: Positions) -> None:
    repaired = moves.repaired(positions, bounds.multipliers)
    if repaired is not None:
        _offer(relaxation, bounds, moves.improved(repaired))


def _offer(relaxation: Relaxation, bounds: Bounds, positions: Positions) -> None:
    costs = relaxation.costs_at(positions)
    if (costs[1:] <= 0).all():
        bounds.offer(positions, float(costs[0]))


class _Planes:
    """The linear programme over the planes found so far: how high can the dual be, and where."""

    def __init__(self, multipliers: int, most: float) -> None:
        self._count = multipliers
        self._price = _FIRST_PRICE
        self._solver = highspy.Highs()  # type: ignore[no-untyped-call]
        self._solver.setOptionValue("output_flag", False)
        self._solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        self._solver.addVar(-highspy.kHighsInf, 2 * abs(most) + 1)
        self._solver.changeColCost(0, 1.0)
        for _ in range(multipliers):
            self._solver.addVar(0.0, self._price)

    def add(self, costs: Array) -> None:
        """The plane of a solution with these costs: dual <= objective + multipliers @ excesses."""
        columns = np.arange(self._count + 1, dtype=np.int32)
        self._solver.addRow(
            -highspy.kHighsInf, float(costs[0]), len(columns), columns, np.concatenate([[1.0], -costs[1:]])
        )

    def highest(self) -> tuple[float, Array]:
        """The greatest value below all planes and the multipliers there."""
        self._solver.run()
        values = np.array(self._solver.getSolution().col_value)
        return float(values[0]), np.maximum(values[1:], 0.0)

    def raise_prices(self, peak: Array) -> bool:
        """Allow higher multipliers if some are as high as they may be; False if not, or if all sense has ended."""
        if not (peak >= 0.99 * self._price).any() or self._price >= _HIGHEST_PRICE:
            return False
        self._price *= 10
        for column in range(1, self._count + 1):
            self._solver.changeColBounds(column, 0.0, self._price)
        return True
