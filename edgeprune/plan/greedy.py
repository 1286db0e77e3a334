"""Packing by an order: storages are placed one after another, each as low as it fits beside those placed before.

Some orders are good guesses. From each of the best a climb goes on: one storage moves to another place in the order,
one that sticks out or is in use beside such more often than others, and the new order is kept where the arena gets no
higher. Steps that change nothing lead across plateaus, so that a climb ends by its number of steps and starts again
elsewhere. The steps are drawn from a generator with a fixed seed: the same problem is packed the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import numpy.typing as npt

from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.search import Layout

__all__ = ["Greedy"]

_STEPS = 250
"""Of a climb before the next one begins."""
_TOP_SHARE = 0.5
"""How often a storage that sticks out moves, and how often, otherwise, one that is in use beside it."""
Integers = npt.NDArray[np.int64]


class Greedy:
    """Packings of one problem, by orders."""

    def __init__(self, storages: Sequence[Storage], layout: Layout) -> None:
        self._storages = storages
        crowds = (layout.cliques @ layout.sizes)[:, None] * layout.cliques
        self._busiest: list[int] = crowds.max(axis=0).tolist()
        self._sizes: list[int] = layout.sizes.tolist()
        self._aligns = layout.aligns.tolist()
        self._above = layout.above.tolist()
        self._near = [np.flatnonzero(row).tolist() for row in layout.meets]

    def best(self, bound: int, placements: int) -> Integers:
        """The lowest packing found when `placements` storages are placed after the first orders; ends at `bound`."""
        trials = [(self._height(offsets := self._place(order)), offsets, order) for order in self._orders()]
        trials.sort(key=lambda trial: trial[0])
        height, best, _ = trials[0]
        random, left, start = Random(0), placements // len(self._sizes), 0
        while left > 0 and height > bound:
            low, offsets, order = trials[start % len(trials)]
            found = self._climb(order, offsets, low, bound, min(left, _STEPS), random)
            if found[0] < height:
                height, best = found
            left -= _STEPS
            start += 1
        return np.array(best, np.int64)

    def _climb(
        self, order: list[int], offsets: list[int], height: int, bound: int, steps: int, random: Random
    ) -> tuple[int, list[int]]:
        """The height and offsets that `steps` steps lead to from `order`."""
        for _ in range(steps):
            if height <= bound:
                break
            moved = self._moved(order, offsets, height, random)
            placed = self._place(moved)
            reached = self._height(placed)
            if reached <= height:
                order, offsets, height = moved, placed, reached
        return height, offsets

    def _moved(self, order: list[int], offsets: list[int], height: int, random: Random) -> list[int]:
        """`order` with one storage elsewhere; one that sticks out goes forward."""
        top = random.choice([i for i in order if offsets[i] + self._sizes[i] == height])
        if random.random() < _TOP_SHARE:
            index, end = top, order.index(top) + 1
        else:
            beside = self._near[top] if random.random() < _TOP_SHARE else order
            index, end = random.choice(beside or order), len(order)
        moved = [other for other in order if other != index]
        moved.insert(random.randrange(end), index)
        return moved

    def _height(self, offsets: Sequence[int]) -> int:
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
