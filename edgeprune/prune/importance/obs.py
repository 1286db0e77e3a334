"""Optimal brain surgeon, layer by layer: what a channel's removal costs after its readers are corrected for it.

Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon", NIPS 1992, in the layer-wise
form of Dong et al., "Learning to Prune Deep Neural Networks via Layer-wise Optimal Brain Surgeon", NIPS 2017: with H
the second moments of what a layer reads, removing the inputs q costs w_q' [(H^-1)_qq]^-1 w_q of its squared output
error, the rest being corrected by -(H^-1)_:q [(H^-1)_qq]^-1 w_q. Channels are removed one after the other, the
cheapest first, each time with weights and H^-1 brought up to date, and scored by the cost added up until they go.

An output's error counts as much as the loss minds it (`moments.loss_curvature`). Readers that are no fittable layers
(recurrent ones, say) are taken to read uncorrelated inputs of equal strength, as many times as costly as the others
are on the average of the group, which makes them rank by magnitude.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores
from edgeprune.prune.removal import removal_scores

__all__ = ["CRITERION"]


class _OptimalBrainSurgeon:
    name: ClassVar[str] = "obs"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores, ascending in the order of removal."""
        return removal_scores(module, coupling, calibration, corrected=True)


CRITERION: Criterion = _OptimalBrainSurgeon()
