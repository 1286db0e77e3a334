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

import numpy as np
import numpy.typing as npt

from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.search import Layout, improve
from edgeprune.plan.sweep import lower_by_sweeps

__all__ = ["Packing", "pack"]

_BUMPS = 60
Distances = Mapping[tuple[str, str], int]
"""(upper, lower) storage names -> least offset(upper) - offset(lower), where less than the lower one's size."""


@dataclass(frozen=True)
class Packing:
    """An offset per storage, by name; `proven` when no packing is lower."""

    offsets: Mapping[str, int]
    arena_bytes: int
    proven: bool


def pack(
    storages: Sequence[Storage], distances: Distances, align: Callable[[Storage], int], bound_bytes: int = 0
) -> Packing:
    """The lowest packing found. `bound_bytes` is what some step is known to need; reaching it ends the search."""
    if not storages:
        return Packing({}, 0, True)
    layout = _layout(storages, distances, align)
    best = _greedy(storages, layout, bound_bytes)
    if distances and _height(layout, best) > bound_bytes:
        apart = _greedy(storages, _layout(storages, {}, align), bound_bytes)
        best = min(best, apart, key=lambda offsets: _height(layout, offsets))
    first = np.array([storage.first for storage in storages], np.int64)
    last = np.array([storage.last for storage in storages], np.int64)
    swept = lower_by_sweeps(layout, first, last, best, bound_bytes)
    offsets, proven = improve(layout, swept, bound_bytes)
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


def _cliques(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Row per step whose set of storages is in no other step's: [steps, storages]."""
    ends = np.unique(last)
    rows = np.array([(first <= step) & (last >= step) for step in ends])
    keep = [
        not any(other != index and np.all(rows[index] <= rows[other]) for other in range(len(rows)))
        for index in range(len(rows))
    ]
    return rows[np.array(keep)] if any(keep) else rows


def _height(layout: Layout, offsets: npt.NDArray[np.int64]) -> int:
    return int((offsets + layout.sizes).max())


def _greedy(storages: Sequence[Storage], layout: Layout, bound: int) -> npt.NDArray[np.int64]:
    """The best of several orders, each placing one storage after another as low as it fits."""
    crowd = (layout.cliques @ layout.sizes)[:, None] * layout.cliques
    busiest = crowd.max(axis=0)
    keys: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (-storages[i].size_bytes, storages[i].first, i),
        lambda i: (-storages[i].size_bytes * (storages[i].last - storages[i].first + 1), i),
        lambda i: (-int(busiest[i]), -storages[i].size_bytes, i),
        lambda i: (storages[i].first, -storages[i].size_bytes, i),
        lambda i: (-storages[i].last, -storages[i].size_bytes, i),
        lambda i: (storages[i].first - storages[i].last, -storages[i].size_bytes, i),
    )
    best: npt.NDArray[np.int64] | None = None
    for key in keys:
        order = sorted(range(len(storages)), key=key)
        offsets = _bumped(layout, order, bound)
        if best is None or _height(layout, offsets) < _height(layout, best):
            best = offsets
        if _height(layout, best) <= bound:
            break
    assert best is not None
    return best


def _bumped(layout: Layout, order: list[int], bound: int) -> npt.NDArray[np.int64]:
    """`order` placed; then, a few times, with the storages that end highest moved to its front."""
    best = offsets = _place(layout, order)
    rounds = min(_BUMPS, 6_000 // len(order))
    for _ in range(rounds):
        if _height(layout, best) <= bound:
            break
        ends = offsets + layout.sizes
        high = [index for index in order if ends[index] == ends.max()]
        moved = [*high, *(index for index in order if index not in high)]
        if moved == order:
            break
        order = moved
        offsets = _place(layout, order)
        if _height(layout, offsets) < _height(layout, best):
            best = offsets
    return best


def _place(layout: Layout, order: Sequence[int]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(order), np.int64)
    placed = np.zeros(len(order), bool)
    for index in order:
        near = np.flatnonzero(placed & layout.meets[index])
        offsets[index] = layout.lowest_free(index, near, offsets)
        placed[index] = True
    return offsets
