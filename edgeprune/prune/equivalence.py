"""`mask`: a network that behaves as if channels were removed, without the work of removing and comparing.

Removal is the same function as setting the weights that read a channel to zero, unless an operator without weights
reads it (a normalisation, attention, a mean): then nothing short of the cut itself imitates it. That the two are
the same is what `edgeprune.prune.gate` tests for every cut.
"""

from __future__ import annotations

import copy

import torch

from edgeprune.prune.coupling import Coupling, PruningPlan
from edgeprune.prune.surgery import prune

__all__ = ["is_maskable", "mask"]


def is_maskable(coupling: Coupling, plan: PruningPlan) -> bool:
    """Whether zeroed weights imitate `plan`: nothing but parameters reads the groups it cuts."""
    cut = (group for group in coupling.groups if plan.removed(group))
    return not any(coupling.anatomy.is_counted(group) for group in cut)


def mask(module: torch.nn.Module, coupling: Coupling, plan: PruningPlan) -> torch.nn.Module:
    """A network that computes what `module` does without the channels that `plan` removes.

    A copy in which nothing reads them where `is_maskable`, else the pruned network.

    Raises:
        CutRefused: as `prune` does, where the network is pruned.
    """
    if not is_maskable(coupling, plan):
        return prune(module, coupling, plan)
    masked = copy.deepcopy(module)
    state = dict(masked.named_parameters()) | dict(masked.named_buffers())
    with torch.no_grad():
        for group in coupling.groups:
            removed = plan.removed(group)
            for piece in group.slices:
                if piece.role == "consumes" and removed:
                    indices = [index for channel in removed for index in piece.indices[channel]]
                    tensor = state[piece.parameter]
                    tensor.index_fill_(piece.dim, torch.tensor(indices, device=tensor.device), 0.0)
    return masked
