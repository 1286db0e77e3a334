"""Ranking channels, measuring curves and choosing widths."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeprune.errors import UsageError
from edgeprune.prune import (
    Calibration,
    Limits,
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
