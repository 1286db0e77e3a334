"""Offsets for storages in one arena, as low as they go.

Two storages in use at the same step must keep a distance: one lies above the other by at least the lower one's
size, or by less where a kernel may overwrite its input (see `plan.overlap`). The arena is the highest end.

Several greedy orders and climbs from them give a first packing (`plan.greedy`), sweeps over the steps (`plan.sweep`)
and a branch-and-bound search (`plan.search`) improve on it until it meets the largest single step's need, is proven
to be the lowest, or all have spent their nodes. Packings without overlap take part, so that overlap never costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from edgeprune.plan.greedy import Greedy
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.search import Layout, improve, least_height
from edgeprune.plan.sweep import lower_by_sweeps

__all__ = ["Effort", "Packing", "pack"]

Integers = npt.NDArray[np.int64]
Distances = Mapping[tuple[str, str], int]
"""(upper, lower) storage names -> least offset(upper) - offset(lower), where less than the lower one's size."""


class Effort(Enum):
    """How long to search, as rounds of sweeps: QUICK only asks whether the bound can be met."""

    QUICK = 1
    FULL = 5

    @property
    def placements(self) -> int:
        """Storages that climbs may place."""
        return 4_000 if self is Effort.QUICK else 40_000


@dataclass(frozen=True)
class Packing:
    """An offset per storage, by name; `proven` when no packing is lower.

    `parts` are the memories that a split arena lies in, with their bytes, one behind the other; none where it is whole.
    `misses` are the bytes of memories in which no packing was found; `arena_bytes` is then more than all of them.
    """

    offsets: Mapping[str, int]
    arena_bytes: int
    proven: bool
    parts: tuple[tuple[str, int], ...] = ()
    misses: tuple[int, ...] = ()


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
    bound_bytes = max(bound_bytes, least_height(layout))
    best = Greedy(storages, layout).best(bound_bytes, effort.placements)
    if distances and _height(layout, best) > bound_bytes:
        apart = Greedy(storages, _layout(storages, {}, align)).best(bound_bytes, effort.placements)
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
