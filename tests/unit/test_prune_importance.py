"""Criteria: what each ranks last, and that none refuses a coupling."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.prune import Calibration, Coupling, PruningPlan, analyse, best, criteria
from edgeprune.prune.equivalence import mask
from edgeprune.prune.importance import Scores
from tests.support.zoo import build

CALIBRATION = Calibration(
    tuple(
        ((torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(seed)),), torch.arange(16) % 5)
        for seed in range(2)
    ),
    F.cross_entropy,
)
NAMES = (
    "bn_scale",
    "fisher",
    "fpgm",
    "l1",
    "lamp",
    "magnitude",
    "obd",
    "obs",
    "random",
    "reconstruction",
    "taylor",
)


@functools.cache
def _residual() -> tuple[nn.Module, Coupling]:
    network, inputs = build("Residual")
    return network.eval(), analyse(network, inputs)


def residual() -> tuple[nn.Module, Coupling]:
    network, coupling = _residual()
    return copy.deepcopy(network), coupling


def scores(name: str, network: nn.Module, coupling: Coupling) -> Scores:
    return criteria()[name].score(network, coupling, CALIBRATION)


def last(values: tuple[float, ...]) -> int:
    return min(range(len(values)), key=values.__getitem__)


def test_all_are_found() -> None:
    assert tuple(sorted(criteria())) == NAMES


@functools.cache
def analysed(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...], Coupling]:
    network, inputs = build(name)
    return network, inputs, analyse(network, inputs)


@pytest.mark.parametrize("network_name", ["Recurrent", "Attention", "Grouped"])
@pytest.mark.parametrize("name", NAMES)
def test_every_coupling_is_ranked_and_the_network_left_alone(name: str, network_name: str) -> None:
    network, inputs, coupling = analysed(network_name)
    before = copy.deepcopy(network.state_dict())
    several = tuple(
        value.expand(8, *value.shape[1:])
        + (torch.randn(8, *value.shape[1:]) if value.is_floating_point() else 0)
        for value in inputs
    )

    def loss(output: object, _: torch.Tensor) -> torch.Tensor:
        leaves = torch.utils._pytree.tree_leaves(output)
        return torch.stack([leaf.square().mean() for leaf in leaves]).sum()

    data = Calibration(((several, torch.zeros(8)),), loss)
    found = criteria()[name].score(network, coupling, data)
    assert {group.name: group.size for group in coupling.groups} == {
        group: len(values) for group, values in found.items()
    }
    assert all(torch.tensor(values).isfinite().all() for values in found.values())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["magnitude", "lamp", "taylor", "fisher", "obs", "reconstruction"])
def test_a_channel_nothing_reads_ranks_last(name: str) -> None:
    network, coupling = residual()
    with torch.no_grad():
        network.outer.weight[:, 5] = 0
        network.inner.weight[5] *= 1e-3
    assert last(scores(name, network, coupling)["inner"]) == 5


@pytest.mark.parametrize(("name", "factor"), [("l1", 0.01), ("bn_scale", 0.01)])
def test_a_weak_channel_ranks_last(name: str, factor: float) -> None:
    network, coupling = residual()
    with torch.no_grad():
        network.norm.weight[3] *= factor
        for layer in (network.stem, network.outer):
            layer.weight[3] *= factor
    assert last(scores(name, network, coupling)["stem"]) == 3


def test_the_channel_in_the_middle_of_all_ranks_last() -> None:
    network, coupling = residual()
    with torch.no_grad():
        others = [channel for channel in range(12) if channel != 7]
        network.inner.weight[7] = network.inner.weight[others].mean(0)
        network.inner.bias[7] = network.inner.bias[others].mean()
    assert last(scores("fpgm", network, coupling)["inner"]) == 7


def test_groups_without_batch_norm_are_ranked_by_their_filters() -> None:
    network, coupling = residual()
    assert scores("bn_scale", network, coupling)["inner"] == scores("l1", network, coupling)["inner"]


def test_lamp_is_comparable_across_groups() -> None:
    network, coupling = residual()
    found = scores("lamp", network, coupling)
    with torch.no_grad():
        for value in network.inner.parameters():
            value.mul_(10)
        network.outer.weight.mul_(10)
    larger = scores("lamp", network, coupling)
    assert max(found["inner"]) == max(larger["inner"]) == 1.0
    assert larger["inner"] == pytest.approx(found["inner"], rel=1e-2)


def test_fisher_is_the_mean_of_squares_of_each_samples_change() -> None:
    network, coupling = residual()
    one = Calibration(CALIBRATION.batches[:1], F.cross_entropy)
    found = criteria()["fisher"].score(network, coupling, one)["inner"]
    (x,), y = one.batches[0]
    total = 0.0
    for sample, target in zip(x, y, strict=True):
        network.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(sample[None]), target[None]))
        weight = network.outer.weight
        assert weight.grad is not None
        total += float((weight.grad * weight)[:, 4].sum()) ** 2
    assert found[4] == pytest.approx(total, rel=1e-4)


def test_obd_estimates_the_second_order_change() -> None:
    """Of a quadratic loss with uncorrelated inputs the diagonal is all of the Hessian, and the estimate exact."""
    network = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 1, bias=False)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(6, 4))
    coupling = analyse(network, (torch.zeros(1, 4),))
    x = 3.0 * torch.eye(4)
    data = Calibration((((x,), torch.zeros(4, 1)),), F.mse_loss)
    found = criteria()["obd"].score(network, coupling, data)["0"]
    expected = 9.0 / 4.0 * network[1].weight.detach()[0].square()
    assert found[:4] == pytest.approx(expected[:4].tolist(), rel=0.05)


def test_the_surgeon_prefers_what_others_can_stand_in_for() -> None:
    """A strong channel that doubles another goes before a weak one that nothing replaces; it does not by itself."""
    network, coupling = residual()
    with torch.no_grad():
        network.inner.weight[2] = network.inner.weight[9]
        network.inner.bias[2] = network.inner.bias[9]
        network.outer.weight[:, [2, 9]] *= 3
    surgeon, error = (scores(name, network, coupling)["inner"] for name in ("obs", "reconstruction"))
    assert sorted(range(12), key=surgeon.__getitem__).index(2) < 5
    assert sorted(range(12), key=error.__getitem__).index(2) > 8


def test_reconstruction_starts_with_the_channel_of_least_output() -> None:
    network, coupling = residual()
    heard: list[torch.Tensor] = []
    handle = network.outer.register_forward_hook(lambda _, __, output: heard.append(output))
    for (x,), _ in CALIBRATION.batches:
        network(x)
    handle.remove()
    found = scores("reconstruction", network, coupling)
    first = last(found["inner"])
    assert best(found, {"inner": 11}) == PruningPlan(
        {"inner": tuple(channel for channel in range(12) if channel != first)}
    )
    masked = mask(network, coupling, best(found, {"inner": 11}))
    assert bool((masked.outer.weight[:, first] == 0).all())
