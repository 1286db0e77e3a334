"""What the trace of a network taught about its channels, kept for cutting it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch

from edgeprune.prune.coupling import Group, PruningPlan
from edgeprune.prune.labels import Channels
from edgeprune.prune.trace import Trace

__all__ = ["Anatomy", "Query", "lost"]


Query: TypeAlias = tuple[torch.Tensor, Mapping[str, tuple[int, ...]]]
"""A query of attention: its columns' channels, [..., columns], and the parameters' rows that make it."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The traced graph, the channel of every element of its activations, and each group's channels in that.

    `members` lists, per group, the channels of the trace that its own channels are.
    """

    trace: Trace
    channels: Channels
    members: Mapping[str, tuple[int, ...]]
    queries: tuple[Query, ...]

    def gone(self, groups: Collection[Group], plan: PruningPlan) -> frozenset[int]:
        """The channels of the trace that `plan` removes."""
        return self.channels.gone(
            self.members[group.name][channel] for group in groups for channel in plan.removed(group)
        )

    def query_factors(
        self, groups: Collection[Group], plan: PruningPlan
    ) -> Mapping[str, Mapping[int, float]]:
        """Per parameter and row, what undoes a scale of scores that follows the number of columns left.

        Scores are divided by the root of the columns; of the original's, not of those that stay.
        """
        gone = self.gone(groups, plan)
        factors: dict[str, dict[int, float]] = {}
        for columns, rows in self.queries:
            left = int((~lost(columns, gone)).reshape(-1, columns.shape[-1]).any(0).sum())
            if left < columns.shape[-1]:
                for name, indices in rows.items():
                    factors[name] = dict.fromkeys(indices, math.sqrt(left / columns.shape[-1]))
        return factors

    def is_counted(self, group: Group) -> bool:
        """Whether operators without parameters read the group: a mean, a normalisation, attention."""
        return not self.channels.counted.isdisjoint(self.members[group.name])


def lost(labels: torch.Tensor, gone: Collection[int]) -> torch.Tensor:
    """Which elements of `labels` are among the channels `gone`; bool, same shape."""
    return torch.isin(labels, torch.tensor(sorted(gone), dtype=torch.int64))
