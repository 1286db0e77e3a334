"""Folds activations that only clamp (Relu, Clip at an unchanged scale) into the operator that feeds them.

The producer's result is already clamped to [low, high] of int8 when it is stored; clamping it again to [l, h] is
one clamp, to both bounds clamped into [l, h], because saturation is monotone. Reshapes in between do not matter.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.graph.build import replace_tensors
from edgeprune.graph.ir import Graph, Node
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import operator_for

__all__ = ["run"]


def run(graph: Graph) -> Graph:
    """`graph` with every clamp whose input nobody else reads folded into its producer's `clamp`."""
    changed = True
    while changed:
        graph, changed = _fold_one(graph)
    return graph


def _fold_one(graph: Graph) -> tuple[Graph, bool]:
    producers, consumers = graph.producers(), graph.consumers()
    public = {tensor.name for tensor in graph.outputs}
    for node in graph.nodes:
        clamp = _clamp_range(node)
        if clamp is None:
            continue
        source = node.inputs[0]
        producer = producers.get(source.name)
        while (
            producer is not None
            and _private(source.name, consumers, public)
            and operator_for(producer).is_view
        ):
            source = producer.inputs[0]
            producer = producers.get(source.name)
        if producer is None or "clamp" not in producer.attrs or not _private(source.name, consumers, public):
            continue
        low, high = producer.ints("clamp")
        attrs = {**producer.attrs, "clamp": (_into(low, clamp), _into(high, clamp))}
        nodes = [replace(n, attrs=attrs) if n is producer else n for n in graph.nodes if n is not node]
        return _without(graph, nodes, node), True
    return graph, False


def _into(bound: int, clamp: tuple[int, int]) -> int:
    return max(clamp[0], min(clamp[1], bound))


def _without(graph: Graph, nodes: list[Node], removed: Node) -> Graph:
    """The graph without `removed`: what fed it takes its output's name, so that graph outputs keep theirs."""
    swap = {removed.inputs[0].name: removed.output}
    return replace(graph, nodes=replace_tensors(nodes, swap))


def _clamp_range(node: Node) -> tuple[int, int] | None:
    operator = operator_for(node)
    return operator.clamp_range(node) if isinstance(operator, UnaryTable) else None


def _private(name: str, consumers: dict[str, tuple[Node, ...]], public: set[str]) -> bool:
    return len(consumers.get(name, ())) == 1 and name not in public
