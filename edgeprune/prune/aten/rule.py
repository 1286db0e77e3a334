"""What a dependency rule is, and what several rules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["Output", "Rule", "spread"]

Output: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]
Rule: TypeAlias = Callable[[Call, Labels], Output]


def spread(vector: torch.Tensor, dim: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Labels of `shape` that follow `vector` along `dim` and are the same along all others."""
    dim %= len(shape)
    lined = vector.reshape([-1 if axis == dim else 1 for axis in range(len(shape))])
    return lined.expand(shape).clone()
