"""Layer-adaptive magnitude: a channel's squared norm over that of all channels of its group at least as large.

Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, for channels instead of weights.
Inside a group the ranking is that of group magnitude; the numbers are comparable across groups. Needs no data.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Criterion, Scores
from edgeprune.prune.importance.magnitude import CRITERION as MAGNITUDE

__all__ = ["CRITERION"]


class _Lamp:
    name: ClassVar[str] = "lamp"

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores, between 0 and 1."""
        norms = MAGNITUDE.score(module, coupling, calibration)
        return {name: _relative(torch.tensor(values, dtype=torch.float64)) for name, values in norms.items()}


def _relative(norms: torch.Tensor) -> tuple[float, ...]:
    squares, order = norms.square().sort(descending=True)
    relative = torch.empty_like(squares)
    relative[order] = squares / squares.cumsum(0).clamp_min(torch.finfo(torch.float64).tiny)
    return tuple(relative.tolist())


CRITERION: Criterion = _Lamp()
