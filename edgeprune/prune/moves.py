"""Changing the widths of one group, or two, at a time: into limits that are broken, then downhill within them."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from edgeprune.prune.pairwise import Array, Positions
from edgeprune.prune.relaxation import Relaxation

__all__ = ["Moves"]

_MOST_MOVES = 400
_LEAST_GAIN = 1e-12
_PAIRED = 200
"""So many single changes, those that raise the Lagrangian least, are tried in pairs."""


class Moves:
    """What every single change of a width would change, for one problem."""

    def __init__(self, relaxation: Relaxation) -> None:
        self._relaxation = relaxation
        self._around: dict[int, list[tuple[int, list[int], Array]]] = defaultdict(list)
        for i, j in relaxation.pairs:
            indices, stack = relaxation.of_pair((i, j))
            self._around[i].append((j, indices, stack))
            self._around[j].append((i, indices, stack.swapaxes(1, 2)))
        self._apart = ~np.eye(len(relaxation.sizes), dtype=bool)
        for i, j in relaxation.pairs:
            self._apart[i, j] = self._apart[j, i] = False
        starts = np.concatenate([[0], np.cumsum(relaxation.sizes)])
        self._slices = [slice(int(start), int(end)) for start, end in pairwise(starts)]
        self._group = np.repeat(np.arange(len(relaxation.sizes)), relaxation.sizes)

    def repaired(self, positions: Positions, multipliers: Array) -> Positions | None:
        """A choice near `positions` that holds all limits, or None.

        Of all changes, the one that takes most of the excess per rise of the Lagrangian is made, again and again.
        """
        costs, changes, found = self._start(positions)
        prices = np.concatenate([[1.0], multipliers])
        for _ in range(_MOST_MOVES):
            over = float(np.maximum(costs[1:], 0).sum())
            if over <= 0:
                return tuple(found) if np.isfinite(costs[0]) else None
            gain = over - np.maximum(costs[1:, None] + changes[1:], 0).sum(0)
            price = np.maximum(prices @ changes, _LEAST_GAIN)
            worth = np.where((gain > _LEAST_GAIN) & np.isfinite(price), gain / price, -1.0)
            best = int(worth.argmax())
            if worth[best] < 0:
                return None
            self._make(best, costs, changes, found)
        return None

    def improved(self, positions: Positions) -> Positions:
        """`positions`, which hold all limits, after the best single changes until none is left."""
        costs, changes, found = self._start(positions)
        for _ in range(_MOST_MOVES):
            allowed = (costs[1:, None] + changes[1:] <= 0).all(0)
            gains = np.where(allowed, changes[0], 0.0)
            best = int(gains.argmin())
            if gains[best] >= -_LEAST_GAIN:
                break
            self._make(best, costs, changes, found)
        return tuple(found)

    def polished(self, positions: Positions, multipliers: Array) -> Positions:
        """`improved`, and after it two groups at a time, which share no cost, while that helps."""
        costs, changes, found = self._start(self.improved(positions))
        prices = np.concatenate([[1.0], multipliers])
        for _ in range(_MOST_MOVES):
            at = np.argsort(np.nan_to_num(prices @ changes, nan=np.inf), kind="stable")[:_PAIRED]
            both = changes[:, at, None] + changes[:, None, at]
            allowed = self._apart[np.ix_(self._group[at], self._group[at])]
            allowed = allowed & (costs[1:, None, None] + both[1:] <= 0).all(0)
            gains = np.where(allowed, both[0], 0.0)
            first, second = np.unravel_index(int(gains.argmin()), gains.shape)
            if gains[first, second] >= -_LEAST_GAIN:
                break
            for column in (int(at[first]), int(at[second])):
                self._make(column, costs, changes, found)
            costs, changes, found = self._start(self.improved(tuple(found)))
        return tuple(found)

    def _start(self, positions: Positions) -> tuple[Array, Array, list[int]]:
        found = list(positions)
        changes = np.zeros((len(self._relaxation.constant), len(self._group)))
        for group in range(len(found)):
            self._update(group, changes, found)
        return self._relaxation.costs_at(positions), changes, found

    def _make(self, column: int, costs: Array, changes: Array, found: list[int]) -> None:
        group = int(self._group[column])
        costs += changes[:, column]
        found[group] = column - self._slices[group].start
        for one in {group, *(other for other, _, _ in self._around[group])}:
            self._update(one, changes, found)

    def _update(self, group: int, changes: Array, found: list[int]) -> None:
        table = self._relaxation.singles[group].copy()
        for other, indices, stack in self._around[group]:
            table[indices] += stack[:, :, found[other]]
        changes[:, self._slices[group]] = table - table[:, [found[group]]]
