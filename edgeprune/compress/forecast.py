"""What the cost table believes against what builds take, and the limits by the table that this teaches.

The table is right about what a width saves and less so about the sum: it takes every resource at its best, while one
program must keep all limits at once, and layers share code. So a budget, which is on the measured build, becomes a
limit on the table's figures anew after each build. Between a build that held the limit and one that missed it the
relation is taken as a straight line; beyond a single one its slope is 1 for bytes, and a fixed ratio for cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeprune.config import Budget
from edgeprune.prune.limits import Limits, Resources
from edgeprune.verdict import Cost

__all__ = ["Forecast"]

_AIM = 0.998
"""Share of a limit that is aimed at once a build has missed it."""
_STEEPEST = 3.0
"""How many times steeper or flatter than expected a line through two misses may be: beyond, it is noise."""
_LEAST = 0.05
"""Limits by the table stay above this share of the budget: a figure near nothing says nothing about what is near."""
_TRUSTED_MISSES = 2
"""After more misses than this, limits stay between what held and what missed."""


@dataclass(frozen=True)
class _Point:
    """One resource of one build."""

    believed: float
    measured: float


@dataclass(frozen=True)
class Forecast:
    """A budget, and the builds seen so far: what the table believed of each and what it took."""

    budget: Budget
    cycles_per_ms: float
    seen: tuple[tuple[Resources, Cost], ...] = ()

    def after(self, believed: Resources, cost: Cost) -> Forecast:
        """The forecast that knows one build more."""
        return replace(self, seen=(*self.seen, (believed, cost)))

    def limits(self) -> Limits:
        """What widths may take by the table, so that their build is likely to keep the budget."""
        budget = self.budget
        cycles = [
            _Point(believed.cycles, cost.latency_ms * self.cycles_per_ms)
            for believed, cost in self.seen
            if cost.latency_ms is not None
        ]
        return Limits(
            cycles=None
            if budget.latency_ms is None
            else _limit(budget.latency_ms * self.cycles_per_ms, cycles, in_proportion=True),
            **{name: self._amount(name) for name in ("flash_bytes", "ram_bytes", "macs", "parameters")},
        )

    def expects(self, name: str, believed: float) -> float:
        """About what a build takes of a resource of `Limits` where the table says `believed`; latency in cycles.

        The other way round than `limits`, from the build seen whose figure by the table is nearest.
        """
        points = [
            _Point(getattr(used, name), measured)
            for used, cost in self.seen
            if (measured := self._measured(name, cost)) is not None
        ]
        if not points:
            return believed
        nearest = min(points, key=lambda p: abs(p.believed - believed))
        return nearest.measured + (believed - nearest.believed) / _natural(nearest, name == "cycles")

    def _measured(self, name: str, cost: Cost) -> float | None:
        if name == "cycles":
            return None if cost.latency_ms is None else cost.latency_ms * self.cycles_per_ms
        return float(getattr(cost, name))

    def _amount(self, name: str) -> int | None:
        """The limit on a resource that the table and a build count alike."""
        limit = getattr(self.budget, name)
        points = [_Point(getattr(believed, name), getattr(cost, name)) for believed, cost in self.seen]
        return None if limit is None else _limit(limit, points, in_proportion=False)


def _limit(budget: float, points: Sequence[_Point], *, in_proportion: bool) -> int:
    """The figure by the table at which a build is expected to take `budget`."""
    missed = sorted((p for p in points if p.measured > budget), key=lambda p: p.believed)
    if not missed:
        # A build may take what others leave it, so that holding a limit narrowly says nothing against the table.
        return int(
            max([budget, *(p.believed + (budget - p.measured) * _natural(p, in_proportion) for p in points)])
        )
    aim, high = budget * _AIM, missed[0]
    limit = high.believed - (high.measured - aim) * _slope(missed, in_proportion)
    held = [p for p in points if p.measured <= budget and p.believed < high.believed]
    if held:
        low = max(held, key=lambda p: p.believed)
        share = max(0.0, aim - low.measured) / (high.measured - low.measured)
        between = low.believed + share * (high.believed - low.believed)
        limit = between if len(missed) > _TRUSTED_MISSES else max(between, limit)
    return max(1, int(budget * _LEAST), int(min(limit, high.believed - 1)))


def _natural(point: _Point, in_proportion: bool) -> float:
    usable = in_proportion and point.measured > 0 and point.believed > 0
    return point.believed / point.measured if usable else 1.0


def _slope(missed: Sequence[_Point], in_proportion: bool) -> float:
    """Believed over measured near the lowest of the misses, from the two lowest where they agree with it."""
    natural = _natural(missed[0], in_proportion)
    for other in missed[1:]:
        if other.believed > missed[0].believed and other.measured > missed[0].measured:
            slope = (other.believed - missed[0].believed) / (other.measured - missed[0].measured)
            return min(max(slope, natural / _STEEPEST), natural * _STEEPEST)
    return natural
