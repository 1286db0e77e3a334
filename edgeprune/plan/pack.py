"""Offsets for storages in one arena, as low as they go.

Two storages in use at the same step must keep a distance: one lies above the other by at least the lower one's
size, or by less where a kernel may overwrite its input (see `plan.overlap`). The arena is the highest end.

Several greedy orders give a first packing, a few rounds move the storages that stick out to the front, and a
branch-and-bound search (`plan.search`) improves on it until it meets the largest single step's need, proves
that nothing lower exists, or spends its nodes. Packings without overlap take part, so that overlap never costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.search import Layout, improve
from edgeprune.plan.sweep import lower_by_sweeps

__all__ = ["Effort", "Packing", "pack"]

_BUMPS = 60
_FEW = 60
"""Up to so many storages, all the variations are tried; of more storages, fewer."""
Integers = npt.NDArray[np.int64]
Distances = Mapping[tuple[str, str], int]
"""(upper, lower) storage names -> least offset(upper) - offset(lower), where less than the lower one's size."""


class Effort(Enum):
    """How long to search, as rounds of sweeps: QUICK only asks whether the bound can be met."""

    QUICK = 1
    FULL = 5


@dataclass(frozen=True)
class Packing:
    """An offset per storage, by name; `proven` when no packing is lower."""

    offsets: Mapping[str, int]
    arena_bytes: int
    proven: bool


def pack(
    storages: Sequence[Storage],
    distances: Distances,
    align: Callable[[Storage], int],
    bound_bytes: int = 0,
    effort: Effort = Effort.FULL,
) -> Packing:
    """The lowest packing found. `bound_bytes` is as low as is of use; reaching it ends the search."""
    if not storages:
        return Packing({}, 0, True)
    layout = _layout(storages, distances, align)
    best = _Greedy(storages, layout).best(bound_bytes)
    if distances and _height(layout, best) > bound_bytes:
        apart = _Greedy(storages, _layout(storages, {}, align)).best(bound_bytes)
        best = min(best, apart, key=lambda offsets: _height(layout, offsets))
    first = np.array([storage.first for storage in storages], np.int64)
    last = np.array([storage.last for storage in storages], np.int64)
    swept = lower_by_sweeps(layout, first, last, best, bound_bytes, effort.value)
    offsets, proven = (swept, False) if effort is Effort.QUICK else improve(layout, swept, bound_bytes)
    named = {storage.name: int(offset) for storage, offset in zip(storages, offsets, strict=True)}
    return Packing(named, _height(layout, offsets), proven)


def _layout(storages: Sequence[Storage], distances: Distances, align: Callable[[Storage], int]) -> Layout:
    count = len(storages)
    sizes = np.array([storage.size_bytes for storage in storages], np.int64)
    first = np.array([storage.first for storage in storages])
    last = np.array([storage.last for storage in storages])
    meets = (first[:, None] <= last[None, :]) & (first[None, :] <= last[:, None])
    meets &= ~np.eye(count, dtype=bool)
    above = np.broadcast_to(sizes, (count, count)).copy()
    number = {storage.name: index for index, storage in enumerate(storages)}
    for (upper, lower), distance in distances.items():
        above[number[upper], number[lower]] = min(distance, storages[number[lower]].size_bytes)
    aligns = np.array([align(storage) for storage in storages], np.int64)
    return Layout(sizes, aligns, meets, above, _cliques(first, last))


def _cliques(first: npt.NDArray[np.int64], last: Integers) -> npt.NDArray[np.bool_]:
    """Row per step whose set of storages is in no other step's: [steps, storages]."""
    ends = np.unique(last)
    rows = np.array([(first <= step) & (last >= step) for step in ends])
    inside = (rows.astype(np.int64) @ rows.T) == rows.sum(axis=1)[:, None]
    largest: npt.NDArray[np.bool_] = rows[inside.sum(axis=1) == 1]
    return largest


def _height(layout: Layout, offsets: Integers) -> int:
    return int((offsets + layout.sizes).max())


class _Greedy:
    """Places storages one after another, each as low as it fits beside those placed before."""

    def __init__(self, storages: Sequence[Storage], layout: Layout) -> None:
        self._storages = storages
        crowds = (layout.cliques @ layout.sizes)[:, None] * layout.cliques
        self._busiest: list[int] = crowds.max(axis=0).tolist()
        self._sizes: list[int] = layout.sizes.tolist()
        self._aligns = layout.aligns.tolist()
        self._above = layout.above.tolist()
        self._near = [np.flatnonzero(row).tolist() for row in layout.meets]

    def best(self, bound: int) -> Integers:
        """The lowest packing of several orders, the best one varied a few times."""
        trials = [(self.height(offsets := self._place(order)), offsets, order) for order in self._orders()]
        height, offsets, order = min(trials, key=lambda trial: trial[0])
        best, current = offsets, offsets
        for _ in range(min(_BUMPS, _BUMPS * _FEW // len(order))):
            if height <= bound:
                break
            order = self._bumped(order, current)
            current = self._place(order)
            if self.height(current) < height:
                best, height = current, self.height(current)
        return np.array(best, np.int64)

    def height(self, offsets: Sequence[int]) -> int:
        return max(offset + size for offset, size in zip(offsets, self._sizes, strict=True))

    def _orders(self) -> list[list[int]]:
        keys: tuple[Callable[[int, Storage], tuple[int, ...]], ...] = (
            lambda i, s: (-s.size_bytes, s.first, i),
            lambda i, s: (-s.size_bytes * (s.last - s.first + 1), i),
            lambda i, s: (-self._busiest[i], -s.size_bytes, i),
            lambda i, s: (s.first, -s.size_bytes, i),
            lambda i, s: (-s.last, -s.size_bytes, i),
            lambda i, s: (s.first - s.last, -s.size_bytes, i),
        )
        numbers = range(len(self._storages))
        return [sorted(numbers, key=lambda i, key=key: key(i, self._storages[i])) for key in keys]  # type: ignore[misc]

    def _bumped(self, order: list[int], offsets: Sequence[int]) -> list[int]:
        """`order` with the storages that end highest moved to its front."""
        top = self.height(offsets)
        high = [index for index in order if offsets[index] + self._sizes[index] == top]
        return [*high, *(index for index in order if index not in high)]

    def _place(self, order: Sequence[int]) -> list[int]:
        offsets = [0] * len(order)
        placed = [False] * len(order)
        for index in order:
            mine, step = self._above[index], self._aligns[index]
            taken = sorted(
                (offsets[other] - self._above[other][index], offsets[other] + mine[other])
                for other in self._near[index]
                if placed[other]
            )
            offset = 0
            for low, high in taken:
                if low < offset < high:
                    offset = -(-high // step) * step
            offsets[index] = offset
            placed[index] = True
        return offsets
