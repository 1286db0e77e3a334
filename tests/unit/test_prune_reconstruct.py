"""Correcting the weights that stay, and the batch norms' statistics."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.prune import Calibration, PruningPlan, analyse, prune
from edgeprune.prune.batch_norm import absorb
from edgeprune.prune.corrected import cut_corrected
from edgeprune.prune.moments import answers, moments
from edgeprune.prune.reconstruct import correction, fitted, reconstruct
from tests.support.zoo import build


def calibration(*shape: int, batches: int = 4, of: int = 16) -> Calibration:
    dice = torch.Generator().manual_seed(0)
    return Calibration(
        tuple(((torch.randn(of, *shape, generator=dice),), torch.arange(of) % 5) for _ in range(batches)),
        F.cross_entropy,
    )


class Chain(nn.Module):
    """Two layers of a kind with a nonlinearity between them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


CHAINS = {
    "linear": (lambda: Chain(nn.Linear(6, 8), nn.Linear(8, 3)), (6,)),
    "linear without bias": (lambda: Chain(nn.Linear(6, 8), nn.Linear(8, 3, bias=False)), (6,)),
    "strided": (
        lambda: Chain(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3, stride=2, padding=1)),
        (3, 10, 10),
    ),
    "dilated": (
        lambda: Chain(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, (3, 2), padding="same", dilation=(2, 1))),
        (3, 8, 9),
    ),
    "reflected": (
        lambda: Chain(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, padding=(1, 2), padding_mode="reflect")),
        (3, 8, 8),
    ),
    "signal": (lambda: Chain(nn.Conv1d(3, 8, 3), nn.Conv1d(8, 4, 5, stride=3, padding=2)), (3, 20)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_duplicated_channels_go_without_a_trace(name: str) -> None:
    """Channels 5 and 6 are multiples of 1 and 2, so that what reads those can take their part."""
    torch.manual_seed(0)
    make, shape = CHAINS[name]
    network = make().eval()
    with torch.no_grad():
        for copied, source, factor in ((5, 1, 2.0), (6, 2, 0.5)):
            network.first.weight[copied] = factor * network.first.weight[source]
            network.first.bias[copied] = factor * network.first.bias[source]
    coupling = analyse(network, (torch.zeros(1, *shape),))
    plan = PruningPlan({"first": (0, 1, 2, 3, 4, 7)})
    data = calibration(*shape)
    (x,), _ = data.batches[0]
    plain = prune(network, coupling, plan)
    corrected = prune(reconstruct(network, coupling, plan, data, damping=1e-9), coupling, plan)
    expected = network(x)
    scale = float(expected.detach().abs().max())
    assert not torch.allclose(plain(x), expected, atol=0.02 * scale)
    assert torch.allclose(corrected(x), expected, atol=1e-3 * scale)


def test_the_fit_is_that_of_least_squares_by_brute_force() -> None:
    """And so is optimal brain surgeon's update for the removal of a set: the same normal equations."""
    torch.manual_seed(1)
    network = Chain(nn.Linear(6, 8), nn.Linear(8, 3)).eval()
    nn.init.constant_(network.first.bias, 0.7)
    data = calibration(6)
    wanted = answers(network, ["second"], data.batches)
    found = moments(network, wanted, data.batches)["second"]
    alive = torch.tensor([True, False, True, True, False, True, True, True])
    weight, bias = fitted(network.second, found, alive, damping=0.0)
    x = torch.cat([inputs[0] for inputs, _ in data.batches])
    hidden = torch.relu(network.first(x)).detach().double()
    read = torch.cat([hidden[:, alive], torch.ones(len(x), 1)], 1)
    answer = network.second(torch.relu(network.first(x))).detach().double()
    expected = torch.linalg.lstsq(read, answer).solution
    assert torch.allclose(weight[:, alive].double().mT, expected[:-1], atol=1e-4)
    assert bias is not None and torch.allclose(bias.double(), expected[-1], atol=1e-4)
    assert not weight[:, ~alive].any()
    # Hassibi and Stork's equation 5 for a set: w - H^-1_:q (H^-1_qq)^-1 w_q.
    whole = torch.cat([network.second.weight, network.second.bias[:, None]], 1).detach().double().mT
    inverse = torch.linalg.inv(found.gram[0])
    gone = [1, 4]
    surgeon = whole - inverse[:, gone] @ torch.linalg.solve(inverse[gone][:, gone], whole[gone])
    kept = [0, 2, 3, 5, 6, 7, 8]
    assert torch.allclose(surgeon[kept], expected, atol=1e-3)


def test_groups_of_a_convolution_are_fitted_apart() -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(6, 4, 3, padding=1, groups=2)
    data = calibration(6, 7, 7)
    network = nn.Sequential(layer).eval()
    found = moments(network, answers(network, ["0"], data.batches), data.batches)["0"]
    everything = torch.ones(3, dtype=torch.bool)
    with torch.no_grad():
        spoilt = copy.deepcopy(layer)
        spoilt.weight.normal_()
        spoilt.bias.zero_()
    weight, bias = fitted(spoilt, found, everything, damping=0.0)
    assert torch.allclose(weight, layer.weight, atol=1e-3)
    assert bias is not None and torch.allclose(bias, layer.bias, atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "Dense",
        "DepthMultiplier",
        "Grouped",
        "SqueezeExcite",
        "TiedWeights",
        "Temporal",
        "Recurrent",
        "Attention",
    ],
)
def test_every_coupling_can_be_corrected_and_cut(name: str) -> None:
    """The gate of `prune` passes, and the correction is no worse than none."""
    network, inputs = build(name)
    network.eval()
    coupling = analyse(network, inputs)
    plan = PruningPlan(
        {group.name: tuple(range(max(1, group.size // 2))) for group in coupling.groups if group.heads == 1}
    )
    batches = []
    for seed in range(2):
        dice = torch.Generator().manual_seed(seed)
        several = tuple(
            torch.randn(8, *value.shape[1:], generator=dice)
            if value.is_floating_point()
            else value.expand(8, *value.shape[1:])
            for value in inputs
        )
        batches.append((several, torch.zeros(8, dtype=torch.long)))
    smaller = cut_corrected(network, coupling, plan, Calibration(tuple(batches), F.cross_entropy))
    leaves = torch.utils._pytree.tree_leaves(smaller(*inputs))
    assert all(bool(leaf.isfinite().all()) for leaf in leaves)


def test_frozen_weights_stay() -> None:
    network, inputs = build("Residual")
    network.outer.weight.requires_grad_(False)
    coupling = analyse(network, inputs)
    plan = PruningPlan({"inner": (0, 1, 2, 3)})
    corrected = reconstruct(network, coupling, plan, calibration(3, 8, 8))
    assert torch.equal(corrected.outer.weight, network.outer.weight)
    assert not torch.equal(corrected.head.fc.weight, network.head.fc.weight)


def test_one_cut_corrected_by_its_moments_is_the_sequential_one() -> None:
    network, inputs = build("Residual")
    network.eval()
    coupling = analyse(network, inputs)
    plan = PruningPlan({"inner": (0, 3, 4, 7, 8, 11)})
    data = calibration(3, 8, 8)
    quick = correction(network, coupling, data)
    assert quick.corrects(plan)
    slow = reconstruct(network, coupling, plan, data)
    kept = list(plan.keep["inner"])
    assert torch.allclose(
        quick.masked(plan).outer.weight[:, kept], slow.outer.weight[:, kept], rtol=1e-3, atol=1e-4
    )


def test_absorbed_statistics_leave_the_function() -> None:
    network, _ = build("Residual")
    network.eval()
    with torch.no_grad():
        network.norm.running_mean.normal_()
        network.norm.running_var.uniform_(0.5, 2)
        network.norm.weight.normal_()
    data = calibration(3, 8, 8)
    (x,), _ = data.batches[0]
    before = network(x)
    changed = copy.deepcopy(network)
    absorb(changed, data.batches)
    assert torch.allclose(changed(x), before, atol=1e-4)
    assert not torch.allclose(changed.norm.running_mean, network.norm.running_mean, atol=1e-2)
    everything = torch.cat([inputs[0] for inputs, _ in data.batches])
    assert torch.allclose(changed.norm.running_mean, network.stem(everything).mean((0, 2, 3)), atol=1e-4)
