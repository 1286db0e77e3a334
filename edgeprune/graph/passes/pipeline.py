"""The passes in the order they run, each verified."""

from __future__ import annotations

from collections.abc import Callable

from edgeprune.graph.ir import Graph
from edgeprune.graph.passes import (
    flatten_order,
    fuse_clamps,
    remove_dead,
    remove_identities,
    sink_transposes,
)
from edgeprune.graph.verify import verify

__all__ = ["PASSES", "simplify"]

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    sink_transposes.run,
    remove_identities.run,
    fuse_clamps.run,
    flatten_order.run,
    remove_identities.run,
    remove_dead.run,
)


def simplify(graph: Graph) -> Graph:
    """`graph` channel-last, without the transposes, clamps and copies that ONNX needed."""
    for one in PASSES:
        graph = verify(one(graph))
    return graph
