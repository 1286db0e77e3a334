"""Removes nodes that change nothing, and merges chains of reshapes.

An identity between a graph input and a graph output stays: the library promises both names a place.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.graph.ir import Graph, Node, Tensor

__all__ = ["run"]


def run(graph: Graph) -> Graph:
    """`graph` without identity Reshape, Transpose, Slice, Pad, Concat and Requantize nodes."""
    outputs = {tensor.name for tensor in graph.outputs}
    swap: dict[str, Tensor] = {}
    reshaped: dict[str, Tensor] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(swap.get(tensor.name, tensor) for tensor in node.inputs)
        if node.op == "Reshape":
            inputs = (reshaped.get(inputs[0].name, inputs[0]), *inputs[1:])
            reshaped[node.output.name] = inputs[0]
        node = replace(node, inputs=inputs)
        if _is_identity(node) and node.output.name not in outputs:
            swap[node.output.name] = inputs[0]
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _is_identity(node: Node) -> bool:
    source, result = node.inputs[0], node.output
    if source.value is not None or (source.shape, source.quant) != (result.shape, result.quant):
        return False
    if node.op == "Transpose":
        return node.ints("perm") == tuple(range(len(source.shape)))
    if node.op == "Slice":
        return all(step == 1 for step in node.ints("steps"))
    if node.op == "Concat":
        return len(node.inputs) == 1
    return node.op in ("Reshape", "Requantize", "Pad")
