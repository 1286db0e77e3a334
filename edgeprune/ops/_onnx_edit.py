"""ONNX models of few nodes rewritten: a node replaced by others that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeprune.graph.ir import Array, Shape

if TYPE_CHECKING:
    import onnx

__all__ = ["Edit", "Rule", "attributes_of", "rewritten"]


class Edit:
    """What takes the place of one node, and what is known of the values around it."""

    def __init__(
        self, node: onnx.NodeProto, known: Mapping[str, Array], types: Mapping[str, tuple[int, Shape]]
    ) -> None:
        self._known, self._types, self._stem = known, types, node.output[0] or node.op_type
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def known(self, name: str) -> Array | None:
        """The array of a constant, None of anything else."""
        return self._known.get(name)

    def shape(self, name: str) -> Shape:
        """The shape of a value that the node reads or writes."""
        return self._types[name][1]

    def onnx_type(self, name: str) -> int:
        """The ONNX element type of a value that the node reads or writes."""
        return self._types[name][0]

    def constant(self, array: Array) -> str:
        """A new constant."""
        name = f"{self._stem}_part_{len(self.nodes)}_{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, kind: str, *operands: str, result: str = "", **attributes: Any) -> str:
        """A new node of one output, called `result` where that is given; returns its name."""
        from onnx import helper

        name = result or f"{self._stem}_part_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, operands, [name], **attributes))
        return name


Rule = Callable[["onnx.NodeProto", Edit], bool]
"""Whether a node is replaced: then the edit's nodes compute what it did, under the same names."""


def rewritten(model: onnx.ModelProto, rules: Mapping[str, Rule]) -> onnx.ModelProto:
    """`model` with the nodes that `rules`, by operator, replace; the model itself where they replace none.

    Raises:
        UsageError: a rule does, where a node has no such form.
    """
    import onnx
    from onnx import numpy_helper

    if not any(node.op_type in rules for node in model.graph.node):
        return model
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    types = _types(onnx.shape_inference.infer_shapes(model))
    types |= {t.name: (t.data_type, tuple(t.dims)) for t in model.graph.initializer}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        edit, rule = Edit(node, known, types), rules.get(node.op_type)
        if rule is None or not rule(node, edit):
            nodes.append(node)
            continue
        nodes.extend(edit.nodes)
        changed.graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in edit.constants.items()
        )
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return _without_unread(changed)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _types(model: onnx.ModelProto) -> dict[str, tuple[int, Shape]]:
    graph = model.graph
    values: Sequence[onnx.ValueInfoProto] = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name: value.type.tensor_type for value in values}
    return {name: (t.elem_type, tuple(dim.dim_value for dim in t.shape.dim)) for name, t in found.items()}


def _without_unread(model: onnx.ModelProto) -> onnx.ModelProto:
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
