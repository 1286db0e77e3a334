"""Options of layers in a cost table: what they cost, and which the solver takes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from edgeprune.costs import CostTable, LayerCost
from edgeprune.prune import Curves, Limits, NothingFits, choose, resources
from edgeprune.prune import search as search_module
from edgeprune.prune.minimize import Optimum, minimize
from edgeprune.prune.options import collapse, distinct
from edgeprune.prune.relaxation import Problem
from tests.support.width_problems import chain, every_choice, random_table


def with_options(shape: str, seed: int) -> tuple[Curves, CostTable]:
    """A random table of which two layers have three options: the last as it was, the others cheaper, with a loss."""
    dice = random.Random(seed)
    curves, table = random_table(shape, seed)
    layers: list[LayerCost] = list(table.layers)
    widths = dict(table.widths)
    for at in (0, 1):
        name = f"pattern of l{at}"
        widths[name] = (1, 2, 3)
        whole = layers.pop(0)
        for position, share in ((1, dice.uniform(0.2, 0.5)), (2, dice.uniform(0.5, 0.9)), (3, 1.0)):
            cycles = tuple(tuple(round(share * entry) for entry in row) for row in whole.cycles)
            flash = tuple(tuple(round(share * entry) for entry in row) for row in whole.flash_bytes)
            layers.append(replace(whole, cycles=cycles, flash_bytes=flash, option=(name, position)))
        losses = sorted((dice.random(), dice.random()), reverse=True)
        curves = {**curves, name: {1: losses[0], 2: losses[1], 3: 0.0}}
    return curves, replace(table, widths=widths, layers=tuple(layers))


def whole(table: CostTable) -> dict[str, int]:
    return {name: options[-1] for name, options in table.widths.items()}


def test_a_layer_counts_only_with_its_own_option():
    _, table = with_options("chain", 0)
    _, plain = random_table("chain", 0)
    assert resources(table, whole(table)) == resources(plain, whole(plain))
    assert table.options == ("pattern of l0", "pattern of l1")
    assert resources(table.without_options(), whole(plain)) == resources(plain, whole(plain))
    sparse = {**whole(table), "pattern of l0": 1}
    assert resources(table, sparse).cycles < resources(plain, whole(plain)).cycles
    assert resources(table.restricted(sparse), sparse) == resources(table, sparse)


@pytest.mark.parametrize("shape", ["chain", "star", "ring"])
@pytest.mark.parametrize("seed", range(4))
def test_channels_and_options_are_chosen_together(shape, seed):
    curves, table = with_options(shape, seed)
    plain = {name: curve for name, curve in curves.items() if name not in table.options}
    used = resources(table, whole(table))
    for share in (0.8, 0.6):
        limits = Limits(cycles=int(share * used.cycles), flash_bytes=int((share + 0.1) * used.flash_bytes))
        possible = every_choice(curves, table, limits)
        if not possible:
            continue
        found = choose(curves, table, limits)
        assert limits.hold(found.resources)
        try:
            without = choose(plain, table.without_options(), limits).predicted_loss
        except NothingFits:
            without = float("inf")
        best = min(loss for loss, *_ in possible)
        assert best - 1e-9 <= found.predicted_loss <= without + 1e-6
        assert found.predicted_loss <= 1.1 * best + 1e-6


def test_no_weight_goes_where_no_budget_calls_for_it():
    curves, table = with_options("chain", 1)
    used = resources(table, whole(table))
    assert choose(curves, table, Limits(cycles=used.cycles)).widths == whole(table)


def test_an_option_that_saves_nothing_is_never_taken():
    curves, table = with_options("chain", 2)
    dearer = tuple(
        replace(layer, cycles=table.layers[-1].cycles, flash_bytes=table.layers[-1].flash_bytes)
        if layer.option and layer.option[0] == table.layers[-1].option[0]
        else layer
        for layer in table.layers
    )
    table = replace(table, layers=dearer)
    used = resources(table, whole(table))
    found = choose(curves, table, Limits(cycles=int(0.95 * used.cycles)))
    assert found.widths[table.layers[-1].option[0]] == 3


def test_a_refusal_counts_with_the_cheapest_options():
    curves, table = with_options("chain", 3)
    with pytest.raises(NothingFits) as refused:
        choose(curves, table, Limits(cycles=1))
    assert refused.value.infeasible.widths.keys() == table.widths.keys()
    least = refused.value.infeasible.least["cycles"]
    assert least <= min(used.cycles for _, used, _ in every_choice(curves, table, Limits())) * 1.2


def test_prices_at_which_the_same_options_are_best_are_solved_once():
    curves, table = with_options("chain", 0)
    tried = [{"cycles": 10.0 ** (step / 4)} for step in range(-40, 20)]
    found = distinct(table, curves, tried)
    tables = [collapse(table, curves, prices).table.layers for prices in tried]
    assert len(found) == len(set(tables)) < len(tried)
    assert {collapse(table, curves, prices).table.layers for prices in found} == set(tables)
    assert found[0] is tried[0]


def test_the_searches_share_the_time_limit(monkeypatch: pytest.MonkeyPatch):
    """On a clock that runs for as long as a search may take, all of them together take the limit."""
    now, given = [100.0], list[float]()

    def timed(problem: Problem, time_limit_s: float, gap: float) -> Optimum:
        given.append(time_limit_s)
        now[0] += time_limit_s
        return minimize(problem, 1.0, gap)

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(search_module, "minimize", timed)
    curves, table = with_options("ring", 1)
    used = resources(table, whole(table))
    limits = Limits(cycles=int(0.7 * used.cycles), flash_bytes=int(0.8 * used.flash_bytes))
    choose(curves, table, limits, time_limit_s=6.0)
    assert len(given) > 2
    assert sum(given) == pytest.approx(6.0)


def opposed() -> tuple[Curves, CostTable]:
    """A layer whose options take turns: one is by far the smallest, the other the fastest, the last neither."""
    curves, table = chain(0)
    cost = table.layers[1]
    times = {1: (1, 30), 2: (30, 1), 3: (40, 40)}
    ways = [
        replace(
            cost,
            cycles=tuple(tuple(fast * entry for entry in row) for row in cost.cycles),
            flash_bytes=tuple(tuple(small * entry for entry in row) for row in cost.flash_bytes),
            option=("pattern", width),
        )
        for width, (fast, small) in times.items()
    ]
    layers = (table.layers[0], *ways, *table.layers[2:])
    table = replace(table, widths={**table.widths, "pattern": (1, 2, 3)}, layers=layers)
    return {**curves, "pattern": {1: 0.5, 2: 0.4, 3: 0.0}}, table


@pytest.mark.parametrize("axis", ["cycles", "flash_bytes"])
def test_a_limit_binds_only_where_no_option_holds_it(axis: str):
    """With the options that are best for all resources together, one of these limits could not be held."""
    curves, table = opposed()
    used = [getattr(one, axis) for _, one, _ in every_choice(curves, table, Limits())]
    other = next(name for name in ("cycles", "flash_bytes") if name != axis)
    tight = {axis: min(used), other: 1}
    with pytest.raises(NothingFits) as refused:
        choose(curves, table, Limits(**tight))
    assert refused.value.infeasible.binding == (other,)
    with pytest.raises(NothingFits) as refused:
        choose(curves, table, Limits(**{axis: min(used) - 1}))
    assert refused.value.infeasible.binding == (axis,)
    assert f"needs {min(used):,}" in str(refused.value)
    assert refused.value.infeasible.proven


def test_what_options_only_exclude_together_is_not_called_proven():
    """Each limit can be held alone, so none binds, and options at one price prove nothing about others."""
    curves, table = opposed()
    choices = [one for _, one, _ in every_choice(curves, table, Limits())]
    limits = Limits(
        cycles=min(one.cycles for one in choices), flash_bytes=min(one.flash_bytes for one in choices)
    )
    with pytest.raises(NothingFits, match="together was found;") as refused:
        choose(curves, table, limits)
    assert refused.value.infeasible.binding == ()
    assert not refused.value.infeasible.proven
