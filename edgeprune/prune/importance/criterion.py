"""What an importance criterion is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, PruningPlan

__all__ = ["Criterion", "Scores", "best"]

Scores: TypeAlias = Mapping[str, tuple[float, ...]]
"""Per group, a number for each channel: the larger, the more it matters. Comparable inside a group only."""


class Criterion(Protocol):
    """Ranks the channels of every group."""

    @property
    def name(self) -> str:
        """What users call it."""

    def score(self, module: torch.nn.Module, coupling: Coupling, calibration: Calibration) -> Scores:
        """Every group's scores; `module` is not changed."""


def best(scores: Scores, widths: Mapping[str, int]) -> PruningPlan:
    """The plan that keeps, of each group in `widths`, that many of its highest-scoring channels."""
    keep: dict[str, tuple[int, ...]] = {}
    for name, width in widths.items():
        ranking = sorted(range(len(scores[name])), key=lambda channel: (-scores[name][channel], channel))
        keep[name] = tuple(sorted(ranking[:width]))
    return PruningPlan(keep)
