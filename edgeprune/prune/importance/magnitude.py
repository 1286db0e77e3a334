"""Group magnitude: the root of the sum of squared weights that make or read a channel.

Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, section 3.3. Parameters that only follow a
channel (batch norm) are left out. Needs no data.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, Group
from edgeprune.prune.importance.criterion import Criterion, Scores

__all__ = ["CRITERION"]


class _Magnitude:
    name: ClassVar[str] = "magnitude"

    @torch.no_grad()
    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores."""
        state = dict(module.named_parameters()) | dict(module.named_buffers())
        return {group.name: _norms(group, state) for group in coupling.groups}


def _norms(group: Group, state: dict[str, torch.Tensor]) -> tuple[float, ...]:
    total = torch.zeros(group.size, dtype=torch.float64)
    for piece in group.slices:
        if piece.role == "follows":
            continue
        squares = state[piece.parameter].detach().double().square().movedim(piece.dim, 0)
        rows = squares.reshape(squares.shape[0], -1).sum(1).cpu()
        total += rows[torch.tensor(piece.indices)].sum(1)
    return tuple(total.sqrt().tolist())


CRITERION: Criterion = _Magnitude()
