"""Ranking channels, measuring curves and choosing widths."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
import torch.nn.functional as F

from edgeprune.costs import CostTable, LayerCost, MemoryRow
from edgeprune.errors import UsageError
from edgeprune.prune import (
    Calibration,
    Limits,
    NothingFits,
    analyse,
    best,
    choose,
    criteria,
    group_widths,
    measure,
    prune,
    resources,
)
from tests.support.cost_tables import counted
from tests.support.zoo import build

CALIBRATION = Calibration(
    tuple(
        ((torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(seed)),), torch.arange(24) % 5)
        for seed in range(2)
    ),
    F.cross_entropy,
)


@pytest.mark.parametrize("name", ["magnitude", "taylor"])
def test_a_channel_nothing_reads_ranks_last(name: str) -> None:
    network, inputs = build("Residual")
    with torch.no_grad():
        network.outer.weight[:, 5] = 0
        network.inner.weight[5] *= 1e-3
    coupling = analyse(network, inputs)
    scores = criteria()[name].score(network, coupling, CALIBRATION)
    assert {group: len(values) for group, values in scores.items()} == {"stem": 8, "inner": 12}
    assert min(range(12), key=scores["inner"].__getitem__) == 5
    assert 5 not in best(scores, {"inner": 11}).keep["inner"]


def test_taylor_is_the_change_of_the_loss_to_first_order() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)
    network.double()
    (x,), y = CALIBRATION.batches[0]
    one = Calibration((((x.double(),), y),), F.cross_entropy)
    whole = one.loss(network(*one.batches[0][0]), one.batches[0][1])
    network.outer.weight.grad = None
    torch.autograd.backward(whole)
    gradient = network.outer.weight.grad
    assert gradient is not None
    expected = (gradient * network.outer.weight.detach())[:, 3].sum()
    with torch.no_grad():
        network.outer.weight[:, 3] *= 0.999
        change = one.loss(network(*one.batches[0][0]), one.batches[0][1]) - whole
    assert float(change) == pytest.approx(-0.001 * float(expected), rel=0.05)
    assert criteria()["taylor"].score(network, coupling, one)["inner"][3] >= 0


def test_curves_are_monotone_and_end_at_zero() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)
    widths = group_widths(coupling, multiple=1)
    scores = criteria()["magnitude"].score(network, coupling, CALIBRATION)
    curves = measure(network, coupling, scores, widths, CALIBRATION)
    for name, curve in curves.items():
        assert tuple(curve) == widths[name]
        losses = list(curve.values())
        assert losses[-1] == 0
        assert losses == sorted(losses, reverse=True)


def test_a_network_whose_loss_is_no_number_is_not_measured() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)
    with torch.no_grad():
        network.head.fc.bias[0] = float("nan")
    with pytest.raises(UsageError, match="loss on its training data is nan"):
        measure(network, coupling, {}, {}, CALIBRATION)


def problem(seed: int) -> tuple[dict[str, dict[int, float]], CostTable]:
    """Three groups in a chain with a self-coupled layer and random costs that grow with the widths."""
    dice = random.Random(seed)
    widths = {"a": (4, 8), "b": (4, 8, 12), "c": (2, 4)}

    def table(before: str | None, after: str | None) -> tuple[tuple[int, ...], ...]:
        ins, outs = widths.get(before or "", (3,)), widths.get(after or "", (5,))
        return tuple(tuple(i * o * 2 + dice.randint(0, 9) for o in outs) for i in ins)

    sides = [(None, "a"), ("a", "b"), ("b", "b"), ("b", "c"), ("c", None), (None, None)]
    layers = tuple(
        LayerCost(f"l{at}", *side, *(table(*side) for _ in range(5))) for at, side in enumerate(sides)
    )
    rows = (
        MemoryRow("l1", 10, {"a": 16, "b": 4}, "l1", ("input 10 B", "a", "b")),
        MemoryRow("l3", 5, {"b": 4, "c": 9.5}, "l3"),
    )
    curves = {
        name: {w: dice.random() * (1 - w / options[-1]) for w in options} for name, options in widths.items()
    }
    return curves, CostTable(widths, layers, rows, 7, 3, 11)


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    curves, table = problem(seed)
    names = list(table.widths)
    options = [dict(zip(names, row, strict=True)) for row in itertools.product(*table.widths.values())]
    used = [resources(table, widths) for widths in options]
    dice = random.Random(seed)
    some = used[dice.randrange(len(used))]
    limits = Limits(
        some.flash_bytes + 3, some.ram_bytes, some.cycles + 5, None if seed % 2 else some.macs + 1
    )
    choice = choose(curves, table, limits)
    losses = [
        sum(curves[name][width] for name, width in widths.items())
        for widths, spent in zip(options, used, strict=True)
        if limits.hold(spent)
    ]
    assert limits.hold(choice.resources)
    assert choice.resources == resources(table, choice.widths)
    assert choice.predicted_loss == pytest.approx(min(losses), abs=2e-3)


def test_a_network_that_fits_stays_whole() -> None:
    curves, table = problem(0)
    whole = {"a": 8, "b": 12, "c": 4}
    exactly = resources(table, whole)
    limits = Limits(exactly.flash_bytes, exactly.ram_bytes, exactly.cycles, exactly.macs, exactly.parameters)
    assert choose(curves, table, limits).widths == whole
    assert choose(curves, table, Limits()).widths == whole


def test_a_group_without_a_curve_stays_whole() -> None:
    curves, table = problem(0)
    del curves["b"]
    least = resources(table, {"a": 4, "b": 12, "c": 2})
    assert choose(curves, table, Limits(flash_bytes=least.flash_bytes + 40)).widths["b"] == 12


def test_too_little_memory_names_the_step_that_binds() -> None:
    curves, table = problem(1)
    least = resources(table, {"a": 4, "b": 4, "c": 2})
    with pytest.raises(NothingFits) as caught:
        choose(curves, table, Limits(ram_bytes=least.ram_bytes - 1, flash_bytes=10_000))
    infeasible = caught.value.infeasible
    assert infeasible.binding == ("ram_bytes",)
    assert infeasible.step == "l1"
    assert infeasible.nearest.ram_bytes == least.ram_bytes
    assert f"{least.ram_bytes:,} B of RAM at step 'l1'" in str(caught.value)
    assert "input 10 B, a and b are alive together" in str(caught.value)
    assert caught.value.exit_status == 3


def test_limits_that_exclude_each_other_are_said_to() -> None:
    widths = {"a": (1, 2)}
    falling = LayerCost("l0", None, "a", ((10, 20),), ((20, 10),), ((0, 0),), ((1, 1),), ((1, 1),))
    table = CostTable(widths, (falling,), ())
    with pytest.raises(NothingFits, match="flash and cycles together") as caught:
        choose({"a": {1: 1.0, 2: 0.0}}, table, Limits(flash_bytes=15, cycles=15))
    assert caught.value.infeasible.binding == ()


def test_prune_to_half_the_products() -> None:
    network, inputs = build("SqueezeExcite")
    coupling = analyse(network, inputs)
    widths = group_widths(coupling)
    table = counted(network, coupling, widths)
    scores = criteria()["magnitude"].score(network, coupling, CALIBRATION)
    curves = measure(network, coupling, scores, widths, CALIBRATION)
    whole = resources(table, {name: options[-1] for name, options in widths.items()})
    choice = choose(curves, table, Limits(macs=whole.macs // 2))
    smaller = prune(network, coupling, best(scores, choice.widths))
    smaller_table = counted(smaller, analyse(smaller, inputs), choice_as_only(choice.widths))
    assert resources(smaller_table, choice.widths).macs == choice.resources.macs <= whole.macs // 2


def choice_as_only(widths: object) -> dict[str, tuple[int, ...]]:
    assert isinstance(widths, dict)
    return {name: (width,) for name, width in widths.items()}


def test_layers_of_one_name_with_several_input_groups_are_priced_apart() -> None:
    """A layer fed by a Concat comes as one cost per input group; each pair of groups has its own choices."""
    widths = {"a": (4, 8), "b": (4, 8), "c": (4, 8)}
    parts = tuple(
        LayerCost(
            "merge",
            group,
            "c",
            *(((4, 8), (8, 16)) for _ in range(2)),
            ((0, 0), (0, 0)),
            *(((1, 1), (1, 1)),) * 2,
        )
        for group in ("a", "b")
    )
    table = CostTable(widths, parts, ())
    curves = {"a": {4: 9.0, 8: 0.0}, "b": {4: 1.0, 8: 0.0}, "c": {4: 9.0, 8: 0.0}}
    choice = choose(curves, table, Limits(flash_bytes=24))
    assert choice.widths == {"a": 8, "b": 4, "c": 8}
