"""Reorders a fully connected layer's weights so that it reads a channel-last map as it lies in memory.

Flattening a channel-first map behind a channel-last convolution leaves Transpose, Reshape, FullyConnected. With
t = transpose(x, perm), the layer computes sum_k w[n, k] * t.flat[k], and t.flat[k] = x.flat[order[k]] for a fixed
permutation `order`; so w'[n, order[k]] = w[n, k] lets it read x. Elementwise operators in between commute.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Graph, Node
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import operator_for

__all__ = ["run"]


def run(graph: Graph) -> Graph:
    """`graph` without transposes that only serve a flattening before a fully connected layer."""
    changed = True
    while changed:
        graph, changed = _reorder_one(graph)
    return graph


def _reorder_one(graph: Graph) -> tuple[Graph, bool]:
    for node in graph.nodes:
        if node.op == "FullyConnected" and node.inputs[0].elements == node.inputs[1].shape[1]:
            found = _transpose_behind(graph, node)
            if found is not None:
                return _bypass(graph, node, *found), True
    return graph, False


def _transpose_behind(graph: Graph, node: Node) -> tuple[Node, Node] | None:
    """The (Transpose, Reshape) pair whose result reaches `node` through private elementwise nodes."""
    producers, consumers = graph.producers(), graph.consumers()
    public = {tensor.name for tensor in graph.outputs}

    def producer_of(name: str) -> Node | None:
        return producers.get(name) if len(consumers[name]) == 1 and name not in public else None

    current = producer_of(node.inputs[0].name)
    while current is not None and isinstance(operator_for(current), UnaryTable):
        current = producer_of(current.inputs[0].name)
    if current is None or current.op != "Reshape":
        return None
    transpose = producer_of(current.inputs[0].name)
    return (transpose, current) if transpose is not None and transpose.op == "Transpose" else None


def _bypass(graph: Graph, layer: Node, transpose: Node, reshape: Node) -> Graph:
    source, weights = transpose.inputs[0], layer.inputs[1]
    assert weights.value is not None
    order = np.arange(source.elements).reshape(source.shape).transpose(transpose.ints("perm")).ravel()
    moved = np.empty_like(weights.value)
    moved[:, order] = weights.value
    swapped = {
        id(layer): replace(
            layer, inputs=(layer.inputs[0], constant(weights.name, moved, weights.quant), layer.inputs[2])
        ),
        id(reshape): replace(reshape, inputs=(source,)),
    }
    return replace(graph, nodes=tuple(swapped.get(id(n), n) for n in graph.nodes if n is not transpose))
