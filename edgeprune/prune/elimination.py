"""Exact minimisation of a pairwise sum by eliminating one group after the other (nonserial dynamic programming).

The order is min-fill. On a chain this is Viterbi's algorithm, on a tree the min-sum algorithm; in general it takes
time and memory exponential in the width of the order, so a problem whose tables would grow beyond a limit is
declined. See U. Bertelè and F. Brioschi, Nonserial Dynamic Programming (1972), and R. Dechter, "Bucket elimination"
(1999).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edgeprune.prune.pairwise import Array, Pair, Positions

__all__ = ["Elimination", "Tables"]

_MOST_ENTRIES = 1_000_000
"""A table of more entries is too large to be filled some hundred times."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What is minimised: a table per group, in order, and one per pair; infinite where widths are forbidden."""

    singles: Sequence[Array]
    pairs: Mapping[Pair, Array]


@dataclass(frozen=True, eq=False)
class _Bucket:
    """A group and those that are left which share a table with it; axes are `rest`, then the group."""

    group: int
    rest: tuple[int, ...]
    pairs: tuple[Pair, ...]
    children: tuple[int, ...]


class Elimination:
    """An order of elimination for groups of these sizes that share tables in these pairs."""

    def __init__(self, sizes: Sequence[int], buckets: Sequence[_Bucket]) -> None:
        self._sizes = sizes
        self._buckets = buckets

    @classmethod
    def plan(cls, sizes: Sequence[int], pairs: Collection[Pair]) -> Elimination | None:
        """The min-fill order, or None where it would fill too large a table."""
        neighbours: dict[int, set[int]] = {group: set() for group in range(len(sizes))}
        for i, j in pairs:
            neighbours[i].add(j)
            neighbours[j].add(i)
        left, waiting = dict.fromkeys(sorted(pairs)), dict[int, tuple[int, ...]]()
        buckets: list[_Bucket] = []
        while neighbours:
            group = min(neighbours, key=lambda one: (_fill(neighbours, one), len(neighbours[one]), one))
            rest = tuple(sorted(neighbours.pop(group)))
            if prod(sizes[one] for one in (*rest, group)) > _MOST_ENTRIES:
                return None
            for one in rest:
                neighbours[one] |= set(rest) - {one}
                neighbours[one].discard(group)
            own = tuple(pair for pair in left if group in pair)
            children = tuple(at for at, scope in waiting.items() if group in scope)
            for pair in own:
                del left[pair]
            for child in children:
                del waiting[child]
            waiting[len(buckets)] = rest
            buckets.append(_Bucket(group, rest, own, children))
        return cls(sizes, buckets)

    def minimum(self, tables: Tables) -> tuple[float, Positions]:
        """The least sum and where it is taken; infinity where every choice is forbidden."""
        messages: list[Array] = []
        decisions = []
        for bucket in self._buckets:
            table = self._joined(bucket, tables, messages)
            choice = table.argmin(-1)
            decisions.append(choice)
            messages.append(np.take_along_axis(table, choice[..., None], -1)[..., 0])
        found = [0] * len(self._sizes)
        for bucket, choice in zip(reversed(self._buckets), reversed(decisions), strict=True):
            found[bucket.group] = int(choice[tuple(found[one] for one in bucket.rest)])
        return self._total(messages), tuple(found)

    def marginals(self, tables: Tables) -> Tables:
        """For every width and every pair of widths, the least sum of a choice that takes it."""
        messages: list[Array] = []
        joined: list[Array] = []
        for bucket in self._buckets:
            joined.append(self._joined(bucket, tables, messages))
            messages.append(joined[-1].min(-1))
        total = self._total(messages)
        singles = [np.zeros(0)] * len(self._sizes)
        pairs: dict[Pair, Array] = {}
        outside: dict[int, Array] = {}
        for at in reversed(range(len(self._buckets))):
            bucket = self._buckets[at]
            scope = (*bucket.rest, bucket.group)
            # Above a bucket lies the rest of the network; at a root it is the other parts, each at its least.
            rest_of_all = outside.get(at)
            if rest_of_all is None:
                own_part = messages[at]
                rest_of_all = np.asarray(total - own_part if np.isfinite(own_part) else 0.0)
            belief = joined[at] + rest_of_all[..., None]
            singles[bucket.group] = _least_over(belief, scope, (bucket.group,))
            for pair in bucket.pairs:
                pairs[pair] = _least_over(belief, scope, pair)
            for child in bucket.children:
                own = self._buckets[child].rest
                passed = _least_over(belief, scope, own)
                finite = np.isfinite(messages[child])
                outside[child] = np.where(finite, passed - np.where(finite, messages[child], 0.0), np.inf)
        return Tables(singles, pairs)

    def _joined(self, bucket: _Bucket, tables: Tables, messages: Sequence[Array]) -> Array:
        scope = (*bucket.rest, bucket.group)
        found = np.zeros([self._sizes[one] for one in scope])
        found += tables.singles[bucket.group]
        for pair in bucket.pairs:
            found += _spread(tables.pairs[pair], pair, scope)
        for child in bucket.children:
            found += _spread(messages[child], self._buckets[child].rest, scope)
        return found

    def _total(self, messages: Sequence[Array]) -> float:
        return float(
            sum(message for message, bucket in zip(messages, self._buckets, strict=True) if not bucket.rest)
        )


def _fill(neighbours: Mapping[int, set[int]], group: int) -> int:
    """How many pairs of its neighbours share no table yet."""
    around = neighbours[group]
    return sum(len(around) - 1 - len(around & neighbours[one]) for one in around) // 2


def _spread(table: Array, groups: Sequence[int], scope: Sequence[int]) -> Array:
    """`table` over `groups` with an axis of one entry for every other group of `scope`."""
    order = sorted(range(len(groups)), key=lambda axis: scope.index(groups[axis]))
    shape = [1] * len(scope)
    for axis in order:
        shape[scope.index(groups[axis])] = table.shape[axis]
    return table.transpose(order).reshape(shape)


def _least_over(table: Array, scope: Sequence[int], kept: Sequence[int]) -> Array:
    """The least of `table` over all groups of `scope` but `kept`, with the axes in the order of `kept`."""
    others = tuple(axis for axis, group in enumerate(scope) if group not in kept)
    left = [group for group in scope if group in kept]
    least: Array = table.min(axis=others)
    return least.transpose([left.index(group) for group in kept])
