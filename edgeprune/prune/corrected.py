"""`cut_corrected`: a cut with everything that can be put right without training put right."""

from __future__ import annotations

import torch

from edgeprune.progress import Progress
from edgeprune.prune.batch_norm import absorb, recalibrate
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, PruningPlan
from edgeprune.prune.equivalence import is_maskable
from edgeprune.prune.reconstruct import reconstruct
from edgeprune.prune.surgery import prune

__all__ = ["cut_corrected"]


def cut_corrected(
    module: torch.nn.Module,
    coupling: Coupling,
    plan: PruningPlan,
    calibration: Calibration,
    progress: Progress | None = None,
) -> torch.nn.Module:
    """The pruned network, its weights corrected for the cut and its batch norms at its own statistics.

    Raises:
        CutRefused: as `prune` does.
    """
    smaller = prune(reconstruct(module, coupling, plan, calibration, progress=progress), coupling, plan)
    if is_maskable(coupling, plan):
        absorb(smaller, calibration.batches)
    else:
        recalibrate(smaller, calibration.batches)
    return smaller
