"""Weights that stay, corrected for those that went: the least squares, the zeros, what is left alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.prune import Calibration, fit_survivors
from edgeprune.train.companion import prunable_weights


def calibration(*shape: int, samples: int = 256) -> Calibration:
    """Inputs of which neighbours are alike, as pixels and features are."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(samples, *shape, generator=rng)
    x = x + 0.8 * x.roll(1, 1) + 0.5
    target = torch.zeros(samples, dtype=torch.long)
    half = samples // 2
    return Calibration((((x[:half],), target[:half]), ((x[half:],), target[half:])), F.cross_entropy)


def thinned(whole: nn.Module, share: float = 0.3) -> nn.Module:
    """A copy of which so many weights are left."""
    sparse = copy.deepcopy(whole)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in prunable_weights(sparse).values():
            weight.mul_(torch.rand(weight.shape, generator=rng) < share)
    return sparse


def error(one: nn.Module, other: nn.Module, data: Calibration) -> float:
    with torch.no_grad():
        parts: list[Any] = [(one.eval()(x) - other.eval()(x)).square().mean() for (x,), _ in data.batches]
    return float(torch.stack(parts).mean())


def test_one_layer_is_the_least_squares_of_its_inputs() -> None:
    torch.manual_seed(0)
    whole, data = nn.Sequential(nn.Linear(12, 5)), calibration(12)
    sparse = thinned(whole)
    found = fit_survivors(whole, sparse, data, damping=0.0)
    x = torch.cat([inputs for (inputs,), _ in data.batches]).double().numpy()
    wanted = whole(torch.cat([inputs for (inputs,), _ in data.batches])).detach().double().numpy()
    for output, weights in enumerate(sparse[0].weight.detach().numpy()):
        kept = np.flatnonzero(weights)
        columns = np.column_stack([x[:, kept], np.ones(len(x))])
        best, *_ = np.linalg.lstsq(columns, wanted[:, output], rcond=None)
        np.testing.assert_allclose(found[0].weight[output].detach().numpy()[kept], best[:-1], atol=1e-4)
        np.testing.assert_allclose(float(found[0].bias[output].detach()), best[-1], atol=1e-4)


def test_a_network_comes_nearer_and_keeps_its_zeros() -> None:
    torch.manual_seed(0)
    whole = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4, bias=False),
        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 6),
    )  # fmt: skip
    data, sparse = calibration(3, 6, 6), thinned(whole)
    zeros = {name: weight == 0 for name, weight in prunable_weights(sparse).items()}
    found = fit_survivors(whole, sparse, data)
    assert error(whole, found, data) < 0.7 * error(whole, sparse, data)
    for name, weight in prunable_weights(found).items():
        assert torch.equal(weight == 0, zeros[name])


def test_what_lost_nothing_or_cannot_be_fitted_stays() -> None:
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 4))
    whole[4].weight.requires_grad_(False)
    sparse = copy.deepcopy(whole)
    with torch.no_grad():
        sparse[2].weight[1:] = 0
        sparse[4].weight[0] = 0
    found = fit_survivors(whole, sparse.train(), calibration(12))
    assert found.training
    assert torch.equal(found[0].weight, whole[0].weight)
    assert torch.equal(found[4].weight, sparse[4].weight)
    assert not torch.equal(found[2].bias, whole[2].bias)
