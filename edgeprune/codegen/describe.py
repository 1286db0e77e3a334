"""The words generated C uses for layers and tensors."""

from __future__ import annotations

from edgeprune.graph.ir import DTYPES, Node, Tensor
from edgeprune.ops import operator_for
from edgeprune.plan.program import Layer

__all__ = ["c_type", "describe_layer", "shape_text"]

_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}


def c_type(tensor: Tensor) -> str:
    """The C element type of `tensor`."""
    assert tensor.dtype in DTYPES
    return _C_TYPES[tensor.dtype]


def shape_text(tensor: Tensor) -> str:
    """A shape as `1x32x32x16`."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def describe_layer(layer: Layer) -> str:
    """One line: operators with their geometry, and the shapes that go in and come out."""
    operators = " + ".join(_describe_node(node) for node in layer.nodes)
    names = layer.candidate.activation_inputs
    tensors = {t.name: t for node in layer.nodes for t in node.inputs}
    inputs = ", ".join(shape_text(tensors[name]) for name in names)
    outputs = ", ".join(shape_text(tensor) for tensor in layer.nodes[-1].outputs)
    return f"{operators}, {inputs} -> {outputs}"


def _describe_node(node: Node) -> str:
    if node.op in ("Conv", "ConvTranspose"):
        height, width = node.inputs[1].shape[1:3]
        strides = node.ints("strides")
        depthwise = node.int("group") > 1
        group = f" in {node.int('group')} groups" if depthwise else ""
        return f"{node.op} {height}x{width} stride {strides[0]}x{strides[1]}{group}"
    return operator_for(node).title(node)
