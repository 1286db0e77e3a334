"""Arena packing against HiGHS on small problems, and its limits on large ones."""

from __future__ import annotations

import time
from itertools import combinations, permutations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.overlap import span_bytes
from edgeprune.plan.pack import pack


def meet(one: Storage, other: Storage) -> bool:
    return one.first <= other.last and other.first <= one.last


def valid(storages, distances, offsets) -> bool:
    def apart(a: Storage, b: Storage) -> bool:
        least = distances.get((a.name, b.name), b.size_bytes)
        return offsets[a.name] - offsets[b.name] >= least

    return all(apart(a, b) or apart(b, a) for a, b in combinations(storages, 2) if meet(a, b))


def optimum(storages, distances, height: int) -> int:
    """The same problem as a big-M programme for HiGHS; a packing of that height is known."""
    pairs = [(i, j) for i, j in combinations(range(len(storages)), 2) if meet(storages[i], storages[j])]
    big = float(height)
    count = len(storages) + 1 + len(pairs)
    top = len(storages)
    rows, low = [], []

    def row(low_value: float, **terms: float) -> None:
        values = np.zeros(count)
        for key, value in terms.items():
            values[int(key[1:])] += value
        rows.append(values)
        low.append(low_value)

    for i, storage in enumerate(storages):
        row(float(storage.size_bytes), **{f"v{top}": 1.0, f"v{i}": -1.0})
    for k, (i, j) in enumerate(pairs):
        a, b = storages[i], storages[j]
        flag = f"v{top + 1 + k}"
        row(distances.get((a.name, b.name), b.size_bytes), **{f"v{i}": 1.0, f"v{j}": -1.0, flag: big * 2})
        row(
            distances.get((b.name, a.name), a.size_bytes) - 2 * big,
            **{f"v{j}": 1.0, f"v{i}": -1.0, flag: -big * 2},
        )
    goal = np.zeros(count)
    goal[top] = 1.0
    integrality = np.array([0] * (top + 1) + [1] * len(pairs))
    upper = np.array([big] * (top + 1) + [1.0] * len(pairs))
    result = milp(
        goal,
        integrality=integrality,
        bounds=Bounds(0.0, upper),
        constraints=LinearConstraint(np.array(rows), np.array(low), np.inf),
    )
    assume(result.status == 0)  # HiGHS gives up on a few of these
    return round(result.fun)


def lowest_stack(storages, distances) -> int:
    """The optimum when all meet, by trying every order from the bottom up."""

    def height(order) -> int:
        offsets: dict[str, int] = {}
        for a in order:
            below = [s for s in order if s.name in offsets]
            offsets[a.name] = max(
                (offsets[b.name] + distances.get((a.name, b.name), b.size_bytes) for b in below), default=0
            )
        return max(offsets[s.name] + s.size_bytes for s in order)

    return min(map(height, permutations(storages)))


@st.composite
def problems(draw, most=8):
    """Random lifetimes; some outputs may overlap an input that dies when they are born."""
    steps = draw(st.integers(2, 8))
    storages = []
    for index in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, steps - 1))
        last = draw(st.integers(first, min(steps - 1, first + 4)))
        storages.append(Storage(f"s{index}", (f"s{index}",), draw(st.integers(1, 40)), first, last))
    distances = {}
    for a in storages:
        for b in storages:
            if a.last == b.first and a.first < b.first < b.last and draw(st.booleans()):
                distances[a.name, b.name] = draw(st.integers(0, b.size_bytes))
    return storages, distances


@settings(max_examples=50, deadline=None)
@given(problems())
def test_small_problems_are_packed_optimally(problem) -> None:
    storages, distances = problem
    packing = pack(storages, distances, lambda storage: 1)
    assert valid(storages, distances, packing.offsets)
    best = optimum(storages, distances, packing.arena_bytes)
    assert packing.arena_bytes >= best
    if packing.proven:
        assert packing.arena_bytes == best
    assert packing.arena_bytes <= 1.05 * best


@settings(max_examples=40, deadline=None)
@given(problems(most=14))
def test_overlap_never_costs_memory(problem) -> None:
    storages, distances = problem
    with_overlap = pack(storages, distances, lambda storage: 1).arena_bytes
    assert with_overlap <= pack(storages, {}, lambda storage: 1).arena_bytes


def test_alignment_is_kept() -> None:
    storages = [Storage(f"s{i}", (), 5 + i, 0, 1) for i in range(4)]
    packing = pack(storages, {}, lambda storage: 8)
    assert all(offset % 8 == 0 for offset in packing.offsets.values())
    assert packing.arena_bytes <= 32


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), max_size=3))
def test_a_steps_need_is_what_packing_it_alone_takes(output: int, inputs: list[tuple[int, int]]) -> None:
    storages = [Storage("y", (), output, 1, 1)]
    storages += [Storage(f"x{i}", (), size, 1, 1) for i, (size, _) in enumerate(inputs)]
    distances = {(f"x{i}", "y"): min(distance, output) for i, (_, distance) in enumerate(inputs)}
    assert span_bytes(output, inputs) == lowest_stack(storages, distances)


def test_two_hundred_storages_take_about_a_second() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 120, 200)
    last = first + rng.integers(0, 12, 200)
    sizes = rng.integers(1, 3000, 200)
    storages = [Storage(f"s{i}", (), int(sizes[i]), int(first[i]), int(last[i])) for i in range(200)]
    start = time.perf_counter()
    packing = pack(storages, {}, lambda storage: 8)
    seconds = time.perf_counter() - start
    assert valid(storages, {}, packing.offsets)
    bound = max(sum(s.size_bytes for s in storages if s.first <= t <= s.last) for t in range(140))
    print(f"200 storages: {seconds:.2f} s, {packing.arena_bytes / bound:.3f} of the lower bound")
    assert packing.arena_bytes <= 1.12 * bound
