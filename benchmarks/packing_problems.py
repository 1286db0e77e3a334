"""Arenas to pack, drawn at random as branchy networks, and the lowest packing of one as HiGHS finds and proves it.

HiGHS sees the whole problem: an offset for each storage and, for each two that meet, which of them lies above the
other. It is slow beyond some twenty storages and stops at a time limit, so that its answer may be no proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from edgeprune.plan.lifetimes import Storage

__all__ = ["Optimum", "Problem", "branchy", "is_valid", "meet", "optimum"]

_UNIT = 8
_RECENT = 4
"""Of tensors, how many back a step usually reads."""


@dataclass(frozen=True)
class Problem:
    """Storages, and by (upper, lower) the least distance of those that may overlap."""

    storages: tuple[Storage, ...]
    distances: Mapping[tuple[str, str], int]

    @property
    def bound_bytes(self) -> int:
        """A height that no packing undercuts: the largest step's need, every overlap granted in full."""
        shared = {
            (upper, lower): self._size(lower) - least for (upper, lower), least in self.distances.items()
        }
        steps = range(max(storage.last for storage in self.storages) + 1)
        return max(self._need(step, shared) for step in steps)

    def _size(self, name: str) -> int:
        return next(storage.size_bytes for storage in self.storages if storage.name == name)

    def _need(self, step: int, shared: Mapping[tuple[str, str], int]) -> int:
        alive = {s.name: s.size_bytes for s in self.storages if s.first <= step <= s.last}
        saved = (
            min(gain, alive[upper]) for (upper, lower), gain in shared.items() if {upper, lower} <= set(alive)
        )
        return sum(alive.values()) - sum(saved)


@dataclass(frozen=True)
class Optimum:
    """The height of HiGHS's best packing, and whether it proved that none is lower within its time."""

    height_bytes: int
    proven: bool


def branchy(random: Random, steps: int) -> Problem:
    """A network of `steps` steps that branches and joins: most steps read one to three recent tensors, some an old one.

    Some steps have scratch, and some overwrite an input of theirs.
    """
    sizes, firsts, lasts = [_UNIT << random.randrange(3, 9)], [0], [0]
    written = [0]  # storages that are tensors, by step of their making
    overwritten: dict[int, int] = {}
    for step in range(steps):
        reads = {written[-1 - min(random.randrange(_RECENT), len(written) - 1)] for _ in range(2)}
        if random.random() < 0.15:
            reads.add(random.choice(written))
        for tensor in reads:
            lasts[tensor] = step
        sizes.append(_UNIT * random.randrange(1, 1 << random.choice((6, 8, 8))))
        firsts.append(step)
        lasts.append(step)
        if random.random() < 0.5:
            overwritten[len(sizes) - 1] = random.choice(sorted(reads))
        written.append(len(sizes) - 1)
        if random.random() < 0.3:
            sizes.append(_UNIT * random.randrange(1, 64))
            firsts.append(step)
            lasts.append(step)
    storages = tuple(
        Storage(f"s{i}", (), size, first, last)
        for i, (size, first, last) in enumerate(zip(sizes, firsts, lasts, strict=True))
    )
    distances = {
        (storages[upper].name, storages[lower].name): _UNIT * random.randrange(1 + sizes[lower] // _UNIT)
        for lower, upper in overwritten.items()
        if lasts[upper] == firsts[lower]
    }
    return Problem(storages, distances)


def meet(one: Storage, other: Storage) -> bool:
    """Whether both are in use at some step."""
    return one.first <= other.last and other.first <= one.last


def is_valid(problem: Problem, offsets: Mapping[str, int]) -> bool:
    """Whether any two storages that meet keep their distance."""

    def apart(a: Storage, b: Storage) -> bool:
        return offsets[a.name] - offsets[b.name] >= _least(problem, a, b)

    pairs = combinations(problem.storages, 2)
    return all(offset >= 0 for offset in offsets.values()) and all(
        apart(a, b) or apart(b, a) for a, b in pairs if meet(a, b)
    )


def optimum(problem: Problem, known_bytes: int, seconds: float) -> Optimum | None:
    """The lowest packing, found by HiGHS within `seconds`; None where it found none.

    A packing of height `known_bytes` is known, which makes the programme's constants small.
    """
    storages = problem.storages
    pairs = [(a, b) for a, b in combinations(range(len(storages)), 2) if meet(storages[a], storages[b])]
    top, big = len(storages), float(known_bytes)
    rows: list[Mapping[int, float]] = [{top: 1.0, a: -1.0} for a in range(top)]
    least: list[float] = [float(storage.size_bytes) for storage in storages]
    for flag, (a, b) in enumerate(pairs, start=top + 1):
        # a above b, or, with the flag, b above a: offsets are in 0 to known_bytes, so 2 * known_bytes frees the other.
        rows.append({a: 1.0, b: -1.0, flag: 2 * big})
        least.append(_least(problem, storages[a], storages[b]))
        rows.append({b: 1.0, a: -1.0, flag: -2 * big})
        least.append(_least(problem, storages[b], storages[a]) - 2 * big)
    count = top + 1 + len(pairs)
    low, high = np.zeros(count), np.array([big] * (top + 1) + [1.0] * len(pairs))
    low[top] = problem.bound_bytes
    goal = np.zeros(count)
    goal[top] = 1.0
    result = milp(
        goal,
        integrality=np.array([0] * (top + 1) + [1] * len(pairs)),
        bounds=Bounds(low, high),
        constraints=LinearConstraint(_matrix(rows, count), np.array(least), np.inf),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    return None if result.x is None else Optimum(round(result.fun), result.status == 0)


def _least(problem: Problem, upper: Storage, lower: Storage) -> int:
    return problem.distances.get((upper.name, lower.name), lower.size_bytes)


def _matrix(rows: Sequence[Mapping[int, float]], columns: int) -> csr_array:
    entries = [(row, column, value) for row, terms in enumerate(rows) for column, value in terms.items()]
    numbers, places, values = zip(*entries, strict=True)
    return csr_array((np.array(values), (np.array(numbers), np.array(places))), shape=(len(rows), columns))
