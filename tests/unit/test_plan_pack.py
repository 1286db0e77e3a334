"""Arena packing against HiGHS on small problems, and its limits on large ones."""

from __future__ import annotations

from itertools import permutations
from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from benchmarks.packing_problems import Problem, branchy, is_valid, optimum
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.overlap import span_bytes
from edgeprune.plan.pack import pack


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


@settings(max_examples=250, deadline=None)
@given(problems())
def test_small_problems_are_packed_optimally(problem) -> None:
    compare(Problem(*map(freeze, problem)))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 24))
def test_branchy_networks_are_packed_optimally(seed: int, steps: int) -> None:
    compare(branchy(Random(seed), steps))


def freeze(part):
    return tuple(part) if isinstance(part, list) else part


def compare(problem: Problem) -> None:
    """Within 2 % of what HiGHS proves to be the lowest packing, if it does in the time it has."""
    packing = pack(problem.storages, problem.distances, lambda storage: 1, problem.bound_bytes)
    assert is_valid(problem, packing.offsets)
    assert packing.arena_bytes >= problem.bound_bytes
    if packing.arena_bytes == problem.bound_bytes:
        return
    best = optimum(problem, packing.arena_bytes, seconds=4.0)
    event("proven by HiGHS" if best is not None and best.proven else "not proven")
    if best is None or not best.proven:
        return
    assert packing.arena_bytes <= 1.02 * best.height_bytes
    if packing.proven:
        assert packing.arena_bytes == best.height_bytes


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


def test_two_hundred_steps_are_packed_tightly() -> None:
    """How long it takes is what `python -m benchmarks.packing` says."""
    problem = branchy(Random(1), 200)
    packing = pack(problem.storages, problem.distances, lambda storage: 8, problem.bound_bytes)
    assert is_valid(problem, packing.offsets)
    assert packing.arena_bytes <= 1.12 * problem.bound_bytes
