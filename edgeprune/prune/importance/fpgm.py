"""Geometric median: channels near the middle of their group can be stood in for by the others.

He et al., "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration", CVPR 2019: the
sum of a filter's distances to all filters of its group. Needs no data.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.filters import filters, state
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]


class _GeometricMedian:
    name: ClassVar[str] = "fpgm"

    @torch.no_grad()
    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        values = state(module)
        found = {group.name: filters(group, values) for group in coupling.groups}
        return {name: tuple(torch.cdist(rows, rows).sum(1).tolist()) for name, rows in found.items()}


CRITERION: Criterion = _GeometricMedian()
