"""Filter norm: the sum of absolute weights that make a channel.

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017. A channel that no weight makes (one that is sliced
from a parameter used as data, say) is judged by the weights that read it. Needs no data.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.filters import filters, state
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]


class _L1:
    name: ClassVar[str] = "l1"

    @torch.no_grad()
    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        values = state(module)
        return {group.name: tuple(filters(group, values).abs().sum(1).tolist()) for group in coupling.groups}


CRITERION: Criterion = _L1()
