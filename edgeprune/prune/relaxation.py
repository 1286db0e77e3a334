"""A problem over widths, and its Lagrangian relaxation: limits become prices, and what is left is solved exactly.

For multipliers m >= 0 the least of objective + sum over limits of m * (cost - limit) / scale bounds the problem from
below, as does the least over the choices that take a given width, of those: a width whose own bound is above a
solution that is known can go. See M. L. Fisher, "The Lagrangian relaxation method for solving integer programming
problems" (Management Science, 1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.prune.elimination import Elimination, Tables
from edgeprune.prune.pairwise import Array, Pair, PairwiseSum, Positions

__all__ = ["Limited", "Problem", "Relaxation"]


@dataclass(frozen=True, eq=False)
class Limited:
    """A cost that must not exceed a limit; `scale` makes its excess comparable with others'."""

    cost: PairwiseSum
    limit: float
    scale: float


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise `objective` over one position per group, below `sizes`, within `limits`.

    `rows` are limits as well, but of memory: there are many, each depends on few groups, and hardly any binds.
    """

    sizes: tuple[int, ...]
    objective: PairwiseSum
    limits: tuple[Limited, ...]
    rows: tuple[Limited, ...] = ()


class Relaxation:
    """A problem's costs in one array per group and per pair, the objective first, then each limit.

    The objective is divided by `unit`, its whole range; limits are excesses over their scales, so that a choice
    holds them where none is positive. Rows of one group, and of a pair that shares a cost anyway, forbid widths
    instead of being priced: the bound is better for it. Rows nothing can exceed are left out.
    """

    def __init__(self, problem: Problem) -> None:
        self.sizes = problem.sizes
        binding = [row for row in problem.rows if row.cost.largest() > row.limit]
        priced = [problem.objective, *(limit.cost for limit in (*problem.limits, *binding))]
        shared = sorted({pair for cost in priced for pair in cost.pairs})
        self.elimination = Elimination.plan(problem.sizes, shared)
        hard = [row for row in binding if self.elimination is not None and _is_simple(row, shared)]
        limits = (*problem.limits, *(row for row in binding if row not in hard))
        self.unit = _range(problem.objective) or 1.0
        self.most = problem.objective.largest() / self.unit
        self.constant = np.array(
            [
                problem.objective.constant / self.unit,
                *((one.cost.constant - one.limit) / one.scale for one in limits),
            ]
        )
        costs = [(problem.objective, self.unit), *((limit.cost, limit.scale) for limit in limits)]
        self.singles = [np.zeros((len(costs), size)) for size in problem.sizes]
        self._pairs: dict[Pair, tuple[list[int], Array]] = {}
        for index, (cost, scale) in enumerate(costs):
            for group, table in cost.singles.items():
                self.singles[group][index] += table / scale
        for pair in shared:
            indices = [index for index, (cost, _) in enumerate(costs) if index == 0 or pair in cost.pairs]
            blank = np.zeros([problem.sizes[group] for group in pair])
            tables = [costs[index][0].pairs.get(pair, blank) / costs[index][1] for index in indices]
            self._pairs[pair] = indices, np.stack(tables)
        for row in hard:
            self._forbid(row)

    @property
    def multipliers(self) -> int:
        """How many limits are priced."""
        return len(self.constant) - 1

    @property
    def pairs(self) -> Sequence[Pair]:
        """The pairs of groups that share a cost, ascending."""
        return tuple(self._pairs)

    def of_pair(self, pair: Pair) -> tuple[list[int], Array]:
        """Which costs a pair has a table for, the objective always among them, and these [cost, i, j]."""
        return self._pairs[pair]

    def costs_at(self, positions: Positions) -> Array:
        """The objective and each limit's excess."""
        found = self.constant.copy()
        for group, table in enumerate(self.singles):
            found += table[:, positions[group]]
        for (i, j), (indices, stack) in self._pairs.items():
            found[indices] += stack[:, positions[i], positions[j]]
        return found

    def least_costs(self) -> Array:
        """A bound on the objective and on each excess that needs no elimination: every table at its least."""
        found = self.constant + sum(table.min(1) for table in self.singles)
        for indices, stack in self._pairs.values():
            found[indices] += stack.min((1, 2))
        return np.asarray(found)

    def minimum(self, multipliers: Array) -> tuple[float, Positions]:
        """The bound at these multipliers, and the choice that takes it.

        Only where there is an elimination.
        """
        assert self.elimination is not None
        weights = np.concatenate([[1.0], multipliers])
        value, positions = self.elimination.minimum(self._priced(weights))
        return value + float(weights @ self.constant), positions

    def marginals(self, multipliers: Array) -> Tables:
        """The bound of every width and pair of widths; only where there is an elimination."""
        assert self.elimination is not None
        weights = np.concatenate([[1.0], multipliers])
        constant = float(weights @ self.constant)
        found = self.elimination.marginals(self._priced(weights))
        return Tables(
            [table + constant for table in found.singles],
            {pair: table + constant for pair, table in found.pairs.items()},
        )

    def _priced(self, weights: Array) -> Tables:
        pairs = {}
        for pair, (indices, stack) in self._pairs.items():
            flat = stack.reshape(len(indices), -1)
            pairs[pair] = (weights[indices] @ flat).reshape(stack.shape[1:])
        return Tables([weights @ table for table in self.singles], pairs)

    def _forbid(self, row: Limited) -> None:
        groups = sorted(row.cost.groups())
        if len(groups) == 1:
            over = row.cost.constant + row.cost.singles[groups[0]] > row.limit
            self.singles[groups[0]][0][over] = np.inf
            return
        i, j = groups
        total = row.cost.pairs.get((i, j), np.zeros((self.sizes[i], self.sizes[j]))) + row.cost.constant
        total = total + row.cost.singles.get(i, np.zeros(self.sizes[i]))[:, None]
        total = total + row.cost.singles.get(j, np.zeros(self.sizes[j]))[None, :]
        self._pairs[i, j][1][0][total > row.limit] = np.inf


def _is_simple(row: Limited, shared: Sequence[Pair]) -> bool:
    groups = sorted(row.cost.groups())
    return len(groups) == 1 or (len(groups) == 2 and tuple(groups) in shared)


def _range(cost: PairwiseSum) -> float:
    return sum(float(table.max() - table.min()) for table in (*cost.singles.values(), *cost.pairs.values()))
