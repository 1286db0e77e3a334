"""Which parts of an int8 graph compute with real numbers."""

from __future__ import annotations

from edgeprune.graph.ir import Graph, Node

__all__ = ["has_islands", "in_float"]


def in_float(node: Node) -> bool:
    """Whether `node` reads or writes real numbers, so that what it rounds to depends on the order of its sums."""
    return any(tensor.dtype == "float32" for tensor in (*node.inputs, *node.outputs)) and node.op == "Onnx"


def has_islands(graph: Graph) -> bool:
    """Whether a quantised graph has nodes in float."""
    quantised = any(tensor.quant is not None for tensor in graph.tensors())
    return quantised and any(map(in_float, graph.nodes))
