"""Batch-norm statistics after a cut: taken anew from data, or replaced by each batch's own while judging."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.prune.calibration import Batch

__all__ = ["recalibrate", "use_batch_statistics"]


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
    """Estimate the running statistics of every batch norm anew, as averages over `batches`, in place."""
    layers = [
        layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
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
