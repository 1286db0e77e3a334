"""Widths within limits: the best, the smallest, and why there are none."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.costs import CostTable, LayerCost
from edgeprune.prune import Limits, NothingFits, choose, least_budgets, resources
from tests.support.width_problems import SHAPES, chain, every_choice, random_table

AXES = ("flash_bytes", "ram_bytes", "cycles", "macs", "parameters")
SEEDS = st.integers(0, 1 << 20)


def drawn_limits(curves, table: CostTable, seed: int, axes=AXES) -> Limits:
    """Limits on some axes, each exactly what some choice takes, so that together they may be too tight."""
    dice = random.Random(seed)
    choices = every_choice(curves, table, Limits())
    chosen = dice.sample(axes, dice.randint(1, len(axes)))
    return Limits(**{axis: getattr(dice.choice(choices)[1], axis) for axis in chosen})


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), SEEDS)
def test_the_choice_is_the_best_of_all(shape: str, seed: int) -> None:
    curves, table = random_table(shape, seed)
    limits = drawn_limits(curves, table, seed)
    possible = every_choice(curves, table, limits)
    if not possible:
        with pytest.raises(NothingFits) as caught:
            choose(curves, table, limits)
        assert caught.value.infeasible.proven
        return
    choice = choose(curves, table, limits)
    assert limits.hold(choice.resources)
    assert choice.resources == resources(table, choice.widths)
    least, range_ = (
        min(loss for loss, _, _ in possible),
        sum(max(curve.values()) for curve in curves.values()),
    )
    assert choice.gap is not None and choice.gap <= 1e-3
    assert least - 1e-9 <= choice.predicted_loss <= least + 1.1e-3 * max(least, 1e-3 * range_) + 1e-5 * range_


@pytest.mark.parametrize("axis", AXES)
def test_every_limit_holds_alone(axis: str) -> None:
    curves, table = random_table("ring", 5)
    used = sorted(getattr(one, axis) for _, one, _ in every_choice(curves, table, Limits()))
    for limit in (used[0], used[len(used) // 3], used[-1]):
        limits = Limits(**{axis: limit})
        choice = choose(curves, table, limits)
        best = min(loss for loss, _, _ in every_choice(curves, table, limits))
        assert getattr(choice.resources, axis) <= limit
        assert choice.predicted_loss == pytest.approx(best, abs=1e-4)
    with pytest.raises(NothingFits) as caught:
        choose(curves, table, Limits(**{axis: used[0] - 1}))
    assert caught.value.infeasible.binding == (axis,)
    assert caught.value.infeasible.least == {axis: used[0]}
    assert getattr(caught.value.infeasible.nearest, axis) == used[0]
    assert choose(curves, table, Limits(**caught.value.infeasible.least)).gap is not None


def test_choices_are_the_same_every_time() -> None:
    curves, table = random_table("star", 11)
    limits = drawn_limits(curves, table, 3, ("flash_bytes", "cycles"))
    assert len({str(choose(curves, table, limits)) for _ in range(3)}) == 1


def test_of_equal_losses_the_wider() -> None:
    widths = {"a": (4, 8), "b": (4, 8)}
    free = LayerCost("l0", "a", "b", *(((1, 1), (1, 1)) for _ in range(5)))
    costly = LayerCost("l1", None, "b", ((1, 9),), *(((1, 1),) for _ in range(4)))
    table = CostTable(widths, (free, costly), ())
    curves = {"a": {4: 0.0, 8: 0.0}, "b": {4: 1.0, 8: 0.0}}
    assert choose(curves, table, Limits(flash_bytes=5)).widths == {"a": 8, "b": 4}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), SEEDS)
def test_the_least_of_each_axis_keeps_the_other_limits(shape: str, seed: int) -> None:
    curves, table = random_table(shape, seed)
    limits = drawn_limits(curves, table, seed, ("flash_bytes", "ram_bytes", "cycles"))
    found = least_budgets(curves, table, limits)
    for axis in limits.given():
        others = Limits(**{name: limit for name, limit in limits.given().items() if name != axis})
        possible = every_choice(curves, table, others)
        if not possible:
            assert axis not in found
            continue
        least = min(getattr(used, axis) for _, used, _ in possible)
        assert least <= found[axis] <= least * 1.002


def test_a_network_that_fits_stays_whole() -> None:
    curves, table = chain(0)
    whole = {"a": 8, "b": 12, "c": 4}
    exactly = resources(table, whole)
    limits = Limits(**{axis: getattr(exactly, axis) for axis in AXES})
    assert choose(curves, table, limits).widths == whole
    assert choose(curves, table, Limits()).widths == whole


def test_a_group_without_a_curve_stays_whole() -> None:
    curves, table = chain(0)
    curves = {name: curve for name, curve in curves.items() if name != "b"}
    least = resources(table, {"a": 4, "b": 12, "c": 2})
    assert choose(curves, table, Limits(flash_bytes=least.flash_bytes + 40)).widths["b"] == 12


def test_too_little_memory_names_the_step_that_binds() -> None:
    curves, table = chain(1)
    least = resources(table, {"a": 4, "b": 4, "c": 2})
    with pytest.raises(NothingFits) as caught:
        choose(curves, table, Limits(ram_bytes=least.ram_bytes - 1, flash_bytes=10_000))
    infeasible = caught.value.infeasible
    assert infeasible.binding == ("ram_bytes",)
    assert infeasible.step == "l1"
    assert infeasible.nearest.ram_bytes == infeasible.least["ram_bytes"] == least.ram_bytes
    assert f"{least.ram_bytes:,} B of RAM at step 'l1'" in str(caught.value)
    assert "input 10 B, a and b are alive together" in str(caught.value)
    assert caught.value.nearest is not None and caught.value.nearest["ram"] == least.ram_bytes
    assert caught.value.exit_status == 3


def test_a_memory_that_is_only_estimated_proves_nothing() -> None:
    """A plan may need less than the rows say; flash that no widths keep is out of reach all the same."""
    curves, table = chain(1)
    least = resources(table, {"a": 4, "b": 4, "c": 2})
    table = replace(table, memory_is_estimated=True)
    with pytest.raises(NothingFits, match=r"is expected to need [\d,]+ B of RAM at step 'l1'") as caught:
        choose(curves, table, Limits(ram_bytes=least.ram_bytes - 1, flash_bytes=10_000))
    assert caught.value.infeasible.binding == ("ram_bytes",)
    assert not caught.value.infeasible.proven
    with pytest.raises(NothingFits, match=r"network needs [\d,]+ B of flash") as caught:
        choose(curves, table, Limits(ram_bytes=10_000, flash_bytes=1))
    assert caught.value.infeasible.proven


def test_limits_that_exclude_each_other_are_said_to() -> None:
    widths = {"a": (1, 2)}
    falling = LayerCost("l0", None, "a", ((10, 20),), ((20, 10),), *(((1, 1),) for _ in range(3)))
    table = CostTable(widths, (falling,), ())
    with pytest.raises(
        NothingFits,
        match=r"flash and cycles together; .*, or with the other limits kept 20 B of flash or 20 cycles$",
    ) as caught:
        choose({"a": {1: 1.0, 2: 0.0}}, table, Limits(flash_bytes=15, cycles=15))
    assert caught.value.infeasible.binding == ()
    assert caught.value.infeasible.least == {"flash_bytes": 20, "cycles": 20}


def test_parameters_are_named_where_they_bind() -> None:
    curves, table = chain(2)
    with pytest.raises(NothingFits, match=r"needs [\d,]+ parameters of 1; allow [\d,]+ parameters$"):
        choose(curves, table, Limits(parameters=1))


def test_layers_of_one_name_with_several_input_groups_are_priced_apart() -> None:
    """A layer fed by a Concat comes as one cost per input group; each pair of groups has its own choices."""
    widths = {"a": (4, 8), "b": (4, 8), "c": (4, 8)}
    parts = tuple(
        LayerCost(
            "merge", group, "c", *(((4, 8), (8, 16)) for _ in range(2)), *(((1, 1), (1, 1)) for _ in range(3))
        )
        for group in ("a", "b")
    )
    table = CostTable(widths, parts, ())
    curves = {"a": {4: 9.0, 8: 0.0}, "b": {4: 1.0, 8: 0.0}, "c": {4: 9.0, 8: 0.0}}
    choice = choose(curves, table, Limits(flash_bytes=24))
    assert choice.widths == {"a": 8, "b": 4, "c": 8}
