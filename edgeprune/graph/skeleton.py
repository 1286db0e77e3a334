"""`Skeleton`: the unpruned network's graph with its channels labelled by the groups they are pruned in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.graph.ir import Graph

__all__ = ["LayerGroups", "Skeleton"]


@dataclass(frozen=True)
class LayerGroups:
    """Per input and output channel of a weighted layer, the name of its group; None where it is frozen."""

    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A graph lowered once from the unpruned network.

    `layers` labels weighted layers by `Node.name`; `widths` lists, ascending, the numbers of channels each
    group may keep, the last being all of them.
    """

    graph: Graph
    layers: Mapping[str, LayerGroups]
    widths: Mapping[str, tuple[int, ...]]
