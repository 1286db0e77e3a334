"""The layers of a stage: single nodes, and nodes with the sum behind them where a kernel runs both by rows."""

from __future__ import annotations

from collections.abc import Callable

from edgeprune.graph.ir import Node
from edgeprune.plan.lifetimes import Group

__all__ = ["units_of"]


def units_of(nodes: Group, is_unit: Callable[[Group], bool]) -> tuple[Group, ...]:
    """`nodes`, in their order, as groups that run together.

    A sum joins the last of its producers whose output nobody else in the stage reads.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in dict.fromkeys(tensor.name for tensor in node.inputs):
            readers.setdefault(name, []).append(node)
    joined: dict[Node, Node] = {}
    for node in nodes:
        producers = [one for one in nodes if one.output.name in {tensor.name for tensor in node.inputs}]
        alone = [
            one for one in producers if readers[one.output.name] == [node] and one not in joined.values()
        ]
        if len(activation_names(node)) > 1 and alone and is_unit((alone[-1], node)):
            joined[alone[-1]] = node
    absorbed = set(joined)
    return tuple(
        next(((one, node) for one, other in joined.items() if other is node), (node,))
        for node in nodes
        if node not in absorbed
    )


def activation_names(node: Node) -> tuple[str, ...]:
    """Names of the tensors that `node` reads from the arena."""
    return tuple(dict.fromkeys(tensor.name for tensor in node.inputs if tensor.value is None))
