"""Reconstruction error: how much of what its readers answer is lost with a channel, no weight being corrected.

Luo et al., "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression", ICCV 2017, section 3.2.2:
channels are removed greedily, each time the one whose contributions, added to those removed so far, leave the least
squared error on calibration data. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017,
minimise the same error. See `edgeprune.prune.importance.obs` for how outputs and other readers count.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores
from edgeprune.prune.removal import removal_scores

__all__ = ["CRITERION"]


class _ReconstructionError:
    name: ClassVar[str] = "reconstruction"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores, ascending in the order of removal."""
        return removal_scores(module, coupling, calibration, corrected=False)


CRITERION: Criterion = _ReconstructionError()
