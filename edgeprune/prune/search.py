"""`Search`: the least of anything a cost table knows, over all widths within limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from edgeprune.costs import CostTable
from edgeprune.prune.limits import Limits, resources
from edgeprune.prune.minimize import GAP, Optimum, minimize
from edgeprune.prune.options import PRICED, Prices, collapse
from edgeprune.prune.pairwise import PairwiseSum, Space
from edgeprune.prune.relaxation import Limited, Problem
from edgeprune.prune.sensitivity import Curves

__all__ = ["Search", "Widths", "dearest"]

Widths = Mapping[str, int]

_PREFER_WIDE = 1e-6
"""Of widths whose predicted loss is equal, the wider: this much of the largest loss, over the whole range."""
_DEAREST = 1e12
_OF_OPTIONS = {"ram_bytes": "scratch_bytes"}
"""What an option changes of a resource, where that has another name."""
_ROOM_OF_ROWS = 4e-4
"""Memory rows count parts of a byte as one; parts are multiples of one in the channels of a group."""


class Search:
    """The groups of a table that have curves, at all their widths; other groups stay whole.

    `curves` are the losses to predict by, `time_limit_s` bounds each question, and `gap` is the relative distance
    from the optimum at which an answer is good enough. Options of layers are those that are best at `prices`.
    """

    def __init__(
        self,
        table: CostTable,
        curves: Curves,
        time_limit_s: float = 8.0,
        gap: float = GAP,
        prices: Prices = MappingProxyType({}),
    ) -> None:
        self.table = table
        self.curves = curves
        self._time_limit_s = time_limit_s
        self._gap = gap
        self._prices = prices
        self._collapsed = collapse(table, curves, prices)
        plain = self._collapsed.table
        self.space = Space(plain, fixed=plain.widths.keys() - curves.keys())
        self._sums = self.space.sums()
        self._memory = self.space.memory()

    def hasty(self) -> Search:
        """The same with a tenth of the time for each question, for answers that only explain."""
        return Search(self.table, self.curves, self._time_limit_s / 10, self._gap, self._prices)

    def cheapest(self, axis: str) -> Search:
        """The same with the options that take least of a resource, by its name in `Limits`, whatever they lose."""
        if not self.table.options:
            return self
        prices = {_OF_OPTIONS.get(axis, axis): _DEAREST}
        return Search(self.table, self.curves, self._time_limit_s, self._gap, prices)

    @property
    def groups(self) -> int:
        """How many groups of channels there are."""
        return len(self.space.sizes)

    def widths_at(self, positions: Sequence[int]) -> Widths:
        """The widths at these positions of the groups of channels, by group, options among them."""
        return self._collapsed.with_options(self.space.widths_at(positions))

    def least_loss(self, limits: Limits) -> Optimum:
        """The least predicted loss within `limits`; of equal ones the widest."""
        largest = max((max(curve.values()) for curve in self.curves.values()), default=0.0) or 1.0
        preferring_wide = {
            name: {
                width: loss + _PREFER_WIDE * largest * (1 - width / self.table.widths[name][-1])
                for width, loss in curve.items()
            }
            for name, curve in self.curves.items()
            if name in self.space.names
        }
        of_options = self.space.of_layers(self._collapsed.losses)
        return self._minimum(self.space.of_groups(preferring_wide).plus(of_options), limits)

    def least(self, axis: str, limits: Limits) -> Optimum:
        """The least of a resource, by its name in `Limits`, within `limits`.

        Peak memory is no sum: the least limit on it that can be held is found by halving.
        """
        if axis != "ram_bytes":
            return self._minimum(self._sums[axis], limits)
        return self._least_limit(
            lambda ram: self._minimum(PairwiseSum(), Limits(**{**limits.given(), "ram_bytes": ram}))
        )

    def holds(self, limits: Limits) -> Widths | None:
        """Some widths within `limits`, or None where none were found."""
        found = self._minimum(PairwiseSum(), limits)
        return None if found.positions is None else self.widths_at(found.positions)

    def _least_limit(self, within: Callable[[int | None], Optimum]) -> Optimum:
        best = within(None)
        if best.positions is None:
            return best
        least, high, proven = 0, self._ram_bytes(best), True
        while least < high:
            middle = (least + high) // 2
            found = within(middle)
            if found.positions is None:
                least, proven = middle + 1, proven and found.impossible
            else:
                best, high = found, self._ram_bytes(found)
        return Optimum(best.positions, high, 0.0 if proven else np.inf, impossible=False)

    def _ram_bytes(self, found: Optimum) -> int:
        assert found.positions is not None
        return self.table.ram_bytes(self.widths_at(found.positions))

    def _minimum(self, objective: PairwiseSum, limits: Limits) -> Optimum:
        given = dict(limits.given())
        ram = given.pop("ram_bytes", None)
        limited = [_whole(self._sums[name], limit) for name, limit in given.items()]
        rows = () if ram is None else tuple(_whole(row, ram, _ROOM_OF_ROWS) for row in self._memory)
        problem = Problem(self.space.sizes, objective, tuple(limited), rows)
        found = minimize(problem, self._time_limit_s, self._gap)
        if found.positions is not None:
            used = resources(self.table, self.widths_at(found.positions))
            assert limits.hold(used), (limits, used)
        return found


def dearest(table: CostTable) -> Prices:
    """Prices at which no loss counts beside what an option costs; resources weigh as the whole network's shares."""
    if not table.options:
        return {}
    whole = {name: choices[-1] for name, choices in table.widths.items()}
    used = resources(table, whole)
    return {name: _DEAREST / max(1, getattr(used, name)) for name in PRICED}


def _whole(cost: PairwiseSum, limit: int, room: float = 0.49) -> Limited:
    """A limit on a whole number has room for nearly half of one more, which keeps it clear of rounding."""
    return Limited(cost, limit + room, max(limit, 1))
