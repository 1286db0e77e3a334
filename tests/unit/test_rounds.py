"""Pruning in rounds, and the widths that cuts together call for."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.costs import CostTable
from edgeprune.prune import (
    Calibration,
    Coupling,
    Limits,
    NothingFits,
    analyse,
    choose,
    criteria,
    group_widths,
    measure,
    resources,
)
from edgeprune.prune.joint import choose_jointly, joint_loss
from edgeprune.rounds import State, between, in_rounds, one_round, start
from tests.support.cost_tables import counted
from tests.support.zoo import build

CALIBRATION = Calibration(
    tuple(
        ((torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(seed)),), torch.arange(24) % 5)
        for seed in range(2)
    ),
    F.cross_entropy,
)


@functools.cache
def case() -> tuple[nn.Module, Coupling, CostTable]:
    network, inputs = build("Residual")
    network.eval()
    coupling = analyse(network, inputs)
    return network, coupling, counted(network, coupling, group_widths(coupling, multiple=1))


def whole(table: CostTable) -> dict[str, int]:
    return {name: options[-1] for name, options in table.widths.items()}


def test_limits_are_approached_geometrically() -> None:
    used, limits = Limits(flash_bytes=1600, macs=50, cycles=10), Limits(flash_bytes=100, macs=60)
    assert between(used, limits, 0.0) == Limits(flash_bytes=1600, macs=60)
    assert between(used, limits, 0.5) == Limits(flash_bytes=400, macs=60)
    assert between(used, limits, 1.0) == limits


def test_a_table_is_restricted_to_what_is_left() -> None:
    _, _, table = case()
    left = table.restricted({"stem": 5})
    assert left.widths == {"stem": (1, 2, 3, 4, 5), "inner": table.widths["inner"]}
    for widths in ({"stem": 5, "inner": 12}, {"stem": 2, "inner": 7}):
        assert resources(left, widths) == resources(table, widths)


def test_rounds_end_within_the_limits_and_are_trained_each() -> None:
    network, coupling, table = case()
    limits = Limits(macs=table.macs(whole(table)) // 3)
    seen: list[tuple[int, int]] = []

    def tune(state: State, number: int) -> nn.Module:
        seen.append((number, sum(value.numel() for value in state.module.parameters())))
        return state.module

    state = in_rounds(
        start(network, coupling, table), table, limits, 3, CALIBRATION, criteria()["obs"], tune, cuts=0
    )
    assert [number for number, _ in seen] == [1, 2, 3]
    sizes = [size for _, size in seen]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert limits.hold(resources(table, state.widths))
    assert state.module.stem.out_channels == state.widths["stem"]
    assert state.module.inner.out_channels == state.widths["inner"]
    assert {group.name: group.size for group in state.coupling.groups} == dict(state.widths)
    assert bool(state.module(*coupling.example_inputs).isfinite().all())


def test_a_round_that_has_nothing_to_do_leaves_the_network() -> None:
    network, coupling, table = case()
    state = start(network, coupling, table)
    assert one_round(state, table, Limits(), CALIBRATION, criteria()["l1"]) is state


def test_a_limit_that_nothing_holds_is_said() -> None:
    network, coupling, table = case()
    with pytest.raises(NothingFits):
        one_round(start(network, coupling, table), table, Limits(macs=1), CALIBRATION, criteria()["l1"])


def test_widths_chosen_jointly_hold_the_limits_and_lose_no_more() -> None:
    network, coupling, table = case()
    scores = criteria()["obs"].score(network, coupling, CALIBRATION)
    curves = measure(network, coupling, scores, table.widths, CALIBRATION)
    limits = Limits(macs=table.macs(whole(table)) // 3)
    alone = choose(curves, table, limits)
    together = choose_jointly(network, coupling, scores, curves, table, limits, CALIBRATION, cuts=8)
    assert limits.hold(together.resources)
    before, after = (
        joint_loss(network, coupling, scores, one.widths, CALIBRATION) for one in (alone, together)
    )
    assert after <= before
    assert choose_jointly(network, coupling, scores, curves, table, limits, CALIBRATION, cuts=3) == alone
