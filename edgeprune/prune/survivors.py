"""Correcting the weights that stay for single weights, or blocks of them, that went.

Of each layer the weights that are not zero are set to those that come nearest, in least squares over calibration data,
to what the layer answered before: for the removal of a set of weights this is the update of Hassibi and Stork, "Second
order derivatives for network pruning: Optimal Brain Surgeon" (NIPS 1992), with the layer's own error in the place of
the loss (Dong et al., "Learning to Prune Deep Neural Networks via Layer-wise Optimal Brain Surgeon", NIPS 2017). An
output's weights follow from those that it keeps alone, so that outputs that keep the same are solved for together.
Layers are corrected front to back: each sees what the corrected layers before it answer.
"""

from __future__ import annotations

import copy

import torch

from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.moments import Moments, Weighted, answers, fittable, moments, weighted
from edgeprune.prune.reconstruct import DAMPING

__all__ = ["fit_survivors", "fit_weights"]

_LEAST_ENERGY = 1e-30
"""An input that is never active leaves its weights as they are."""


def fit_survivors(
    whole: torch.nn.Module,
    sparse: torch.nn.Module,
    calibration: Calibration,
    damping: float = DAMPING,
    progress: Progress | None = None,
) -> torch.nn.Module:
    """A copy of `sparse`, its zeros kept, whose other weights and biases make good for what `whole` has besides.

    Convolutions in one and two dimensions and linear layers that have more zeros than in `whole` are corrected; other
    layers, ones whose parameters need no gradient, and ones that share a weight stay as they are.

    Args:
        whole: The network before weights went; it is not changed.
        sparse: The same with some of its weights zero; it is not changed.
        calibration: Its batches are run once through the network for every corrected layer.
        damping: How much weights are held to their old values, as a share of the inputs' mean square.
        progress: Told of every layer.
    """
    before, after = copy.deepcopy(whole).eval(), copy.deepcopy(sparse).eval()
    names = [name for name in fittable(before) if _zeros(after, name) > _zeros(before, name)]
    wanted = answers(before, names, calibration.batches)
    with (progress or SilentProgress()).task("correcting weights", len(wanted)) as task:
        for name in wanted:
            task.advance(note=name)
            found = moments(after, {name: wanted[name]}, calibration.batches)[name]
            fit_weights(weighted(after, name), found, damping)
    return after.train(sparse.training)


def _zeros(module: torch.nn.Module, name: str) -> int:
    return int((weighted(module, name).weight == 0).sum())


@torch.no_grad()
def fit_weights(layer: Weighted, found: Moments, damping: float) -> None:
    """Set the weights that are not zero, and the bias, to those of least squared error."""
    groups, _, outputs = found.cross.shape
    old = layer.weight.detach().double().reshape(groups, outputs, -1).mT
    kept = old != 0
    if layer.bias is not None:
        old = torch.cat([old, layer.bias.detach().double().reshape(groups, 1, outputs)], 1)
        kept = torch.cat([kept, torch.ones_like(kept[:, :1])], 1)
    new = old.clone()
    for group in range(groups):
        patterns, members = torch.unique(kept[group], dim=1, return_inverse=True)
        for index in range(patterns.shape[1]):
            inputs = patterns[:, index].nonzero().flatten()
            if len(inputs):
                own = (members == index).nonzero().flatten()
                gram = found.gram[group][inputs][:, inputs]
                start = old[group][inputs][:, own]
                missing = found.cross[group][inputs][:, own] - gram @ start
                ridge = damping * gram.diagonal().mean().clamp_min(_LEAST_ENERGY)
                damped = gram + ridge * torch.eye(len(inputs), dtype=gram.dtype)
                new[group, inputs[:, None], own] = start + torch.linalg.solve(damped, missing)
    if layer.bias is not None:
        layer.bias.copy_(new[:, -1].reshape(-1))
        new = new[:, :-1]
    layer.weight.copy_(new.mT.reshape(layer.weight.shape))
