"""Batch-norm statistics after a cut: taken anew from data, or replaced by each batch's own while judging.

Where the weights were corrected for the cut, the network in evaluation mode, with its old statistics, is what comes
nearest to the whole one. Training normalises by the new ones, and would start from another function: `absorb` takes
the new statistics and changes scale and shift so that the function stays.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.prune.calibration import Batch

__all__ = ["absorb", "recalibrate", "use_batch_statistics"]


def use_batch_statistics(module: torch.nn.Module) -> None:
    """Evaluation mode, except that batch norms normalise by the batch they see and learn nothing from it.

    What a network would do if its statistics were estimated anew, for the price of one pass.
    """
    module.eval()
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
            layer.momentum = 0.0


@torch.no_grad()
def recalibrate(module: torch.nn.Module, batches: Iterable[Batch]) -> None:
    """Estimate the running statistics anew, as averages over `batches`, in place; frozen batch norms keep theirs."""
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats and not _is_frozen(layer)
    ]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    for inputs, _ in batches:
        module(*inputs)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    module.eval()


@torch.no_grad()
def absorb(module: torch.nn.Module, batches: Iterable[Batch]) -> None:
    """Estimate the running statistics anew, in place, and leave what the network computes as it is.

    With the old mean m and deviation s, the new M and S: scale becomes scale * S / s, shift becomes
    shift + scale * (M - m) / s. Batch norms without scale and shift keep their statistics.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm)
        and layer.affine
        and layer.running_mean is not None
        and not _is_frozen(layer)
    ]
    seen = {layer: _Sums() for layer in layers}
    handles = [layer.register_forward_pre_hook(seen[layer].add) for layer in layers]
    module.eval()
    try:
        for inputs, _ in batches:
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    for layer, sums in seen.items():
        if sums.count > 1:
            _restate(layer, *sums.statistics())


def _is_frozen(layer: _BatchNorm) -> bool:
    """Whether the user froze it: then its statistics stay as well."""
    own = list(layer.parameters(recurse=False))
    return bool(own) and not any(value.requires_grad for value in own)


class _Sums:
    """Sums of what a batch norm reads and of its squares, by channel."""

    def __init__(self) -> None:
        self.count = 0
        self._values: torch.Tensor | float = 0.0
        self._squares: torch.Tensor | float = 0.0

    def add(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        rows = inputs[0].detach().double().movedim(1, -1).reshape(-1, inputs[0].shape[1])
        self.count += len(rows)
        self._values = self._values + rows.sum(0)
        self._squares = self._squares + rows.square().sum(0)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance."""
        mean, square = torch.as_tensor(self._values), torch.as_tensor(self._squares)
        mean = mean / self.count
        return mean, (square / self.count - mean.square()).clamp_min(0.0) * (self.count / (self.count - 1))


def _restate(layer: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    old = (layer.running_var.double() + layer.eps).sqrt()
    scale = layer.weight.double()
    layer.bias.add_((scale * (mean - layer.running_mean.double()) / old).to(layer.bias.dtype))
    layer.weight.copy_(scale * (variance + layer.eps).sqrt() / old)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
