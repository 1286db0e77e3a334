"""Fisher information of a channel: the mean square of each sample's own gradient at its removal.

Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018; Liu et al., "Group Fisher Pruning
for Practical Network Compression", ICML 2021, who add up gradients over all that is coupled before they square. The
removal of a channel is the zeroing of what reads it, so its gradient is the sum of weight times gradient over that.
Batch norm is in evaluation mode.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores
from edgeprune.prune.importance.taylor import squared_changes

__all__ = ["CRITERION"]

_SAMPLES = 128
"""Each sample is run by itself, so that their number is bounded."""


class _Fisher:
    name: ClassVar[str] = "fisher"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        return squared_changes(module, coupling, calibration, samples_together=1, most_parts=_SAMPLES)


CRITERION: Criterion = _Fisher()
