"""Groups of nodes that always run as one step: a layer computed as ONNX defines it, with what is done to its results.

A node joins the step before it where it works element by element on that step's result, keeps its shape, and is alone
in reading it: then the sum goes through the activation function on its way to memory, and no tensor lies between.
What is stored as int8 is dequantised by the step that reads it, and quantised by the step that computes it.
"""

from __future__ import annotations

from edgeprune.graph.ir import Graph, Node
from edgeprune.ops.onnx import ELEMENTWISE, OWN
from edgeprune.plan.lifetimes import Group, work_nodes

__all__ = ["standing_groups"]

_HEADS = ELEMENTWISE | {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_TO_REAL, _TO_STORED = "DequantizeLinear", "QuantizeLinear"


def standing_groups(graph: Graph) -> tuple[Group, ...]:
    """The groups of two and more `Onnx` nodes, each in the graph's order."""
    readers = graph.consumers()
    returned = {tensor.name for tensor in graph.outputs}
    taken: set[Node] = set()
    groups = []
    for head in work_nodes(graph):
        if head in taken or head.op != "Onnx":
            continue
        group = [head]
        while (follower := _follower(group[-1], readers, returned)) is not None and follower not in taken:
            group.append(follower)
        if len(group) > 1:
            groups.append(tuple(group))
            taken.update(group)
    return tuple(groups)


def _follower(node: Node, readers: dict[str, tuple[Node, ...]], returned: set[str]) -> Node | None:
    """The node that may join `node`'s step, behind it."""
    result = node.output
    found = readers.get(result.name, ())
    if len(node.outputs) != 1 or result.name in returned or len(found) != 1:
        return None
    reader = found[0]
    same = len(reader.outputs) == 1 and reader.output.shape == result.shape
    uses = sum(tensor.name == result.name for tensor in reader.inputs)
    return reader if reader.op == "Onnx" and uses == 1 and _joins(node, reader, same) else None


def _joins(node: Node, reader: Node, same: bool) -> bool:
    """Whether `reader` may follow `node` in a step; `same` where its one result has the shape that it reads."""
    first, second = str(node.attrs["type"]), str(reader.attrs["type"])
    if second in OWN or first in OWN:
        return False
    if first == _TO_REAL:
        return True
    return same and (second == _TO_STORED or (second in ELEMENTWISE and first in _HEADS))
