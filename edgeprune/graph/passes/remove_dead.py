"""Removes nodes whose outputs nothing reads."""

from __future__ import annotations

from dataclasses import replace

from edgeprune.graph.ir import Graph, Node

__all__ = ["run"]


def run(graph: Graph) -> Graph:
    """`graph` with only the nodes its outputs depend on; inputs stay, read or not."""
    needed = {tensor.name for tensor in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(tensor.name in needed for tensor in node.outputs):
            kept.append(node)
            needed.update(tensor.name for tensor in node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))
