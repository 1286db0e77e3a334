"""Packing under a given height, one storage after another in the order in which steps bring them into use.

What is still in use is all that later placements depend on, so a search in this order meets its conflicts where
they arise, and remembers a situation (what is in use, and where) from which there was no way on. Each storage
is tried at the corners of the room that is left: at the floor, at the ceiling, and directly above and below
every storage it meets. The order may as well run backwards in time.

It finds tight packings of long chains, where the search of `plan.search` would have to decide the whole bottom
of the arena before it learns anything; it proves nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeprune.plan.search import Layout

__all__ = ["lower_by_sweeps"]

Integers = npt.NDArray[np.int64]
_NODES = 1_500
_NODES_PER_STORAGE = 10
_WORK = 200_000
"""Nodes times storages, at most: where there are many, climbs (`plan.greedy`) find more in the time."""


def lower_by_sweeps(
    layout: Layout, first: Integers, last: Integers, start: Integers, bound: int, rounds: int
) -> Integers:
    """The lowest packing found between `bound` and that of `start`: the bound itself first, then by halves.

    `first` and `last` are each storage's steps; `rounds` limits the heights tried.
    """
    best, low = start, bound
    high = int((start + layout.sizes).max())
    orders = [_Sweep(layout, first, last), _Sweep(layout, -last, -first)]
    height = bound
    for _ in range(rounds):
        if low >= high:
            break
        found = next((offsets for sweep in orders if (offsets := sweep.fit(height)) is not None), None)
        if found is None:
            low = height + 1
        else:
            best, high = found, int((found + layout.sizes).max())
        height = (low + high - 1) // 2
    return best


class _Sweep:
    """The search in one direction of time."""

    def __init__(self, layout: Layout, first: Integers, last: Integers) -> None:
        keys = (-layout.sizes, -last, first)
        self._order = [int(index) for index in np.lexsort(keys)]
        self._sizes = layout.sizes.tolist()
        self._aligns = layout.aligns.tolist()
        self._above = layout.above.tolist()
        self._earlier = _earlier_meeting(layout, self._order)
        self._frontier = _frontiers(layout, self._order)

    def fit(self, height: int) -> Integers | None:
        """Offsets with every end at or below `height`, or None when the search found none."""
        count = len(self._order)
        offsets = [0] * count
        trials = [iter(self._corners(0, offsets, height))]
        failed: set[tuple[int, ...]] = set()
        left = min(_NODES + _NODES_PER_STORAGE * count, _WORK // count)
        while trials and left:
            depth = len(trials) - 1
            offset = next(trials[-1], None)
            if offset is None:
                failed.add(self._situation(depth, offsets))
                trials.pop()
                continue
            left -= 1
            offsets[self._order[depth]] = offset
            if depth + 1 == count:
                return np.array(offsets, np.int64)
            if self._situation(depth + 1, offsets) not in failed:
                trials.append(iter(self._corners(depth + 1, offsets, height)))
        return None

    def _corners(self, depth: int, offsets: list[int], height: int) -> list[int]:
        """Offsets to try for the storage placed at `depth`, lowest first."""
        index = self._order[depth]
        near = self._earlier[depth]
        above, step = self._above, self._aligns[index]
        top = height - self._sizes[index]
        wanted = {0, top // step * step}
        for other in near:
            wanted.add(-(-(offsets[other] + above[index][other]) // step) * step)
            wanted.add((offsets[other] - above[other][index]) // step * step)
        return [
            offset
            for offset in sorted(wanted)
            if 0 <= offset <= top
            and all(
                offset - offsets[other] >= above[index][other]
                or offsets[other] - offset >= above[other][index]
                for other in near
            )
        ]

    def _situation(self, depth: int, offsets: list[int]) -> tuple[int, ...]:
        """All that placements from `depth` on depend on."""
        return (depth, *(offsets[index] for index in self._frontier[depth]))


def _earlier_meeting(layout: Layout, order: list[int]) -> list[list[int]]:
    """For each depth, the storages placed before that meet the one placed there."""
    return [
        [other for other in order[:depth] if layout.meets[index, other]] for depth, index in enumerate(order)
    ]


def _frontiers(layout: Layout, order: list[int]) -> list[list[int]]:
    """For each depth, the storages placed before that meet one placed there or later."""
    found: list[list[int]] = []
    for depth in range(len(order)):
        later: npt.NDArray[np.bool_] = np.any(layout.meets[order[depth:]], axis=0)
        found.append([other for other in order[:depth] if later[other]])
    return found
