"""Batch-norm scale: the absolute factors that batch norms multiply a channel by.

Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017. Where several batch norms
apply to a channel their factors are averaged. A group that no batch norm with factors follows is ranked by the norm
of its filters (`l1`): the scale is then in the weights. Needs no data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, Group
from edgeprune.prune.filters import filters, rows, state
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]


class _BatchNormScale:
    name: ClassVar[str] = "bn_scale"

    @torch.no_grad()
    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        values = state(module)
        scales = {f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)}
        return {group.name: _scores(group, values, scales) for group in coupling.groups}


def _scores(group: Group, values: Mapping[str, torch.Tensor], scales: Collection[str]) -> tuple[float, ...]:
    found = [
        rows(piece, values[piece.parameter]).abs().mean(1)
        for piece in group.slices
        if piece.parameter in scales
    ]
    mean = torch.stack(found).mean(0) if found else filters(group, values).abs().sum(1)
    return tuple(mean.tolist())


CRITERION: Criterion = _BatchNormScale()
