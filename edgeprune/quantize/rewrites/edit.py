"""Small edits the rewrites share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgeprune.graph.ir import Array

__all__ = ["add_constant", "constant_array", "replace_node", "reshaped", "shape_of", "single_reader"]


def constant_array(value: ir.Value | None) -> Array | None:
    """The array of a constant value, else None."""
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())


def add_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """A new initializer; a name taken already gets a number."""
    unique, number = name, 1
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    tensor = ir.tensor(np.array(array, order="C"), name=unique)
    value = ir.Value(
        name=unique, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def shape_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """The static shape of a value, or None when a dimension is unknown."""
    if value is None or value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        return None
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]


def single_reader(value: ir.Value) -> ir.Node | None:
    """The only node that reads `value`, provided the graph does not return it."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def reshaped(graph: ir.Graph, value: ir.Value, shape: Sequence[int], name: str) -> ir.Node:
    """A Reshape of `value`, not yet inserted; its node carries `name`."""
    target = add_constant(graph, f"{name}_shape", np.asarray(shape, np.int64))
    node = ir.node("Reshape", [value, target], name=name)
    node.outputs[0].name = f"{name}_output"
    node.outputs[0].type, node.outputs[0].shape = value.type, ir.Shape(shape)
    return node


def replace_node(graph: ir.Graph, old: Sequence[ir.Node], new: Sequence[ir.Node]) -> None:
    """Put `new` where `old` stood: the last new node's output takes over the last old node's name and readers."""
    before, after = old[-1].outputs[0], new[-1].outputs[0]
    graph.insert_before(old[-1], new)
    after.type, after.shape = before.type, before.shape
    name = before.name
    before.name = f"{name}_replaced"
    after.name = name
    ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
    for node in reversed(old):
        graph.remove(node, safe=True)
