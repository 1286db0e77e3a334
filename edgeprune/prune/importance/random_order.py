"""Random order: the yardstick that every criterion has to beat. Needs no data and is the same each time."""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]


class _Random:
    name: ClassVar[str] = "random"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores, uniform between 0 and 1."""
        dice = torch.Generator().manual_seed(0)
        return {
            group.name: tuple(torch.rand(group.size, generator=dice).tolist()) for group in coupling.groups
        }


CRITERION: Criterion = _Random()
