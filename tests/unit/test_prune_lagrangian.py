"""The solver's parts against brute force: elimination, bounds, repairs, and the integer programme."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeprune.prune import elimination as elimination_module
from edgeprune.prune.elimination import Elimination, Tables
from edgeprune.prune.lagrangian import ascend, relative_gap
from edgeprune.prune.minimize import minimize
from edgeprune.prune.moves import Moves
from edgeprune.prune.pairwise import PairwiseSum
from edgeprune.prune.programme import Remaining, solve
from edgeprune.prune.relaxation import Limited, Problem, Relaxation

SEEDS = st.integers(0, 1 << 20)


def random_graph(seed: int, groups: int = 5) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    dice = np.random.default_rng(seed)
    sizes = tuple(int(size) for size in dice.integers(1, 5, groups))
    pairs = [pair for pair in itertools.combinations(range(groups), 2) if dice.random() < 0.4]
    return sizes, pairs


def random_sum(dice: np.random.Generator, sizes, pairs, high: int) -> PairwiseSum:
    found = PairwiseSum(float(dice.integers(0, high)))
    for group, size in enumerate(sizes):
        found.add_single(group, np.sort(dice.integers(0, high, size)).astype(float))
    for i, j in pairs:
        found.add_pair(i, j, dice.integers(0, high, (sizes[i], sizes[j])).astype(float))
    return found


def choices(sizes):
    return itertools.product(*(range(size) for size in sizes))


def random_problem(seed: int) -> Problem:
    """A sum to minimise under two limits and two memory rows, all of random tables."""
    sizes, pairs = random_graph(seed)
    dice = np.random.default_rng(seed)
    costs = [random_sum(dice, sizes, pairs, 20) for _ in range(2)]
    rows = [random_sum(dice, sizes, [], 20), PairwiseSum(3.0, {0: np.arange(float(sizes[0])) * 9})]
    some = tuple(int(dice.integers(0, size)) for size in sizes)
    limits = [Limited(cost, cost.at(some) + 0.49, max(cost.at(some), 1)) for cost in (*costs, *rows)]
    return Problem(sizes, random_sum(dice, sizes, pairs, 9), tuple(limits[:2]), tuple(limits[2:]))


def optimum(problem: Problem) -> float:
    return min(
        problem.objective.at(at)
        for at in choices(problem.sizes)
        if all(one.cost.at(at) <= one.limit for one in (*problem.limits, *problem.rows))
    )


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_elimination_finds_the_least_and_every_marginal(seed: int) -> None:
    sizes, pairs = random_graph(seed)
    dice = np.random.default_rng(seed)
    total = random_sum(dice, sizes, pairs, 30)
    for table in total.pairs.values():
        table[dice.random(table.shape) < 0.15] = np.inf
    tables = Tables([total.singles[group] for group in range(len(sizes))], total.pairs)
    plan = Elimination.plan(sizes, pairs)
    assert plan is not None
    sums = {at: total.at(at) - total.constant for at in choices(sizes)}
    value, positions = plan.minimum(tables)
    assert value == min(sums.values())
    assert math.isinf(value) or sums[positions] == value
    marginals = plan.marginals(tables)
    for group, size in enumerate(sizes):
        for position in range(size):
            expected = min(value for at, value in sums.items() if at[group] == position)
            assert marginals.singles[group][position] == pytest.approx(expected)
    for i, j in pairs:
        for place in itertools.product(range(sizes[i]), range(sizes[j])):
            expected = min(value for at, value in sums.items() if (at[i], at[j]) == place)
            assert marginals.pairs[i, j][place] == pytest.approx(expected)


def test_a_graph_that_fills_too_large_a_table_is_declined() -> None:
    pairs = list(itertools.combinations(range(6), 2))
    assert Elimination.plan([16] * 6, pairs) is None
    assert Elimination.plan([16] * 6, pairs[:5]) is not None


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_the_bound_is_below_the_optimum_and_the_best_above(seed: int) -> None:
    problem = random_problem(seed)
    relaxation = Relaxation(problem)
    bounds = ascend(relaxation, gap=0.0)
    least = optimum(problem) / relaxation.unit
    assert bounds.low <= least + 1e-7
    assert least <= bounds.high + 1e-7
    if bounds.best is not None:
        assert (relaxation.costs_at(bounds.best)[1:] <= 0).all()
        assert all(one.cost.at(bounds.best) <= one.limit for one in (*problem.limits, *problem.rows))


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_no_width_of_a_better_choice_is_ruled_out(seed: int) -> None:
    """A width's own bound is at most the objective of every choice within the limits that takes it."""
    problem = random_problem(seed)
    relaxation = Relaxation(problem)
    bounds = ascend(relaxation, gap=0.0)
    marginals = relaxation.marginals(bounds.multipliers)
    for at in choices(problem.sizes):
        costs = relaxation.costs_at(at)
        if np.isfinite(costs[0]) and (costs[1:] <= 0).all():
            assert all(table[at[group]] <= costs[0] + 1e-9 for group, table in enumerate(marginals.singles))
            assert all(table[at[i], at[j]] <= costs[0] + 1e-9 for (i, j), table in marginals.pairs.items())


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_highs_takes_the_start_and_ends_no_worse(seed: int) -> None:
    problem = random_problem(seed)
    relaxation = Relaxation(problem)
    start = ascend(relaxation, gap=0.0).best
    assume(start is not None)
    everything = Remaining(
        [np.isfinite(table[0]) for table in relaxation.singles],
        {pair: np.isfinite(relaxation.of_pair(pair)[1][0]) for pair in relaxation.pairs},
    )
    assert start is not None
    at_once = solve(relaxation, everything, start, np.inf, 0.0, 5.0)
    assert at_once.positions is not None
    assert problem.objective.at(at_once.positions) <= problem.objective.at(start) + 1e-9
    outcome = solve(relaxation, everything, start, -np.inf, 0.0, 5.0)
    assert outcome.positions is not None
    assert problem.objective.at(outcome.positions) == pytest.approx(optimum(problem))
    assert outcome.bound == pytest.approx(optimum(problem) / relaxation.unit, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_without_elimination_highs_alone_is_exact(seed: int) -> None:
    problem = random_problem(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination_module, "_MOST_ENTRIES", 0)
        found = minimize(problem, 5.0, gap=0.0)
    assert found.objective == pytest.approx(optimum(problem))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_repaired_widths_hold_and_polished_ones_are_no_worse(seed: int) -> None:
    problem = random_problem(seed)
    relaxation = Relaxation(problem)
    moves, prices = Moves(relaxation), np.ones(relaxation.multipliers)
    _, start = relaxation.minimum(prices)
    repaired = moves.repaired(start, prices)
    assume(repaired is not None)
    assert repaired is not None
    better = moves.improved(repaired)
    best = moves.polished(better, prices)
    costs = [relaxation.costs_at(at) for at in (repaired, better, best)]
    assert all((one[1:] <= 1e-12).all() for one in costs)
    assert costs[0][0] >= costs[1][0] - 1e-12 and costs[1][0] >= costs[2][0] - 1e-12


def test_gaps_are_relative_to_no_less_than_a_thousandth_of_the_range() -> None:
    assert relative_gap(0.5, 1.0) == 0.5
    assert relative_gap(0.0, 1e-6) == pytest.approx(1e-3)
    assert relative_gap(2.0, 1.0) == 0.0
    assert math.isinf(relative_gap(-math.inf, 1.0))
