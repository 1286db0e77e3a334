"""Operands of Add, Sub, Mul and MatMul, either of which may be a constant."""

from __future__ import annotations

from edgeprune.graph.ir import Node, Tensor
from edgeprune.kernels.base import Constant, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive

__all__ = ["constant_bytes", "elementwise_overlap", "operand_constants", "operand_pointers", "sum_shortcut"]


def constant_bytes(node: Node) -> int:
    """Flash of the node's constant operands."""
    return sum(tensor.bytes for tensor in node.inputs if tensor.value is not None)


def operand_constants(node: Node, weights: Weights) -> tuple[Constant, ...]:
    """Each constant operand as it is, in the role operand_<position>."""
    return tuple(
        Constant(f"operand_{i}", "int8_t", weights[tensor.name], align=1)
        for i, tensor in enumerate(node.inputs)
        if tensor.name in weights
    )


def operand_pointers(node: Node, names: LayerNames) -> list[str]:
    """The C expression of each operand."""
    return [
        names.tensors[tensor.name] if tensor.name in names.tensors else names.constants[f"operand_{i}"]
        for i, tensor in enumerate(node.inputs)
    ]


def elementwise_overlap(node: Node) -> tuple[int | None, ...]:
    """In place for activations of the output's shape: element i is read before it is written, then never."""
    activations = {t.name: t for t in node.inputs if t.value is None}.values()
    return tuple(0 if tensor.shape == node.output.shape else None for tensor in activations)


def sum_shortcut(node: Node, add: Node) -> Tensor | None:
    """The activation that `add` adds to the output of `node`; None where it is no sum of two whole tensors."""
    if not isinstance(operator_for(add), Additive):
        return None
    others = [tensor for tensor in add.inputs if tensor.name != node.output.name]
    whole = all(tensor.elements == add.output.elements for tensor in add.inputs)
    return others[0] if len(others) == 1 and whole and others[0].value is None else None
