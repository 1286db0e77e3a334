"""Small constructors shared by the importer, the passes and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeprune.graph.ir import Array, Attributes, Graph, Node, Quant, Shape, Tensor, freeze

__all__ = ["Builder", "constant", "replace_tensors", "transposed_quant"]


def constant(name: str, value: Array, quant: Quant | None = None) -> Tensor:
    """A constant tensor holding a frozen copy of `value`."""
    return Tensor(name, tuple(value.shape), value.dtype.name, quant, freeze(value))


def transposed_quant(quant: Quant | None, perm: Sequence[int]) -> Quant | None:
    """`quant` after its tensor's axes were permuted by `perm`."""
    if quant is None or quant.axis is None:
        return quant
    return replace(quant, axis=tuple(perm).index(quant.axis))


def replace_tensors(nodes: Sequence[Node], swap: dict[str, Tensor]) -> tuple[Node, ...]:
    """`nodes` with every tensor named in `swap` exchanged, in inputs and outputs."""
    return tuple(
        replace(
            node,
            inputs=tuple(swap.get(tensor.name, tensor) for tensor in node.inputs),
            outputs=tuple(swap.get(tensor.name, tensor) for tensor in node.outputs),
        )
        for node in nodes
    )


class Builder:
    """Collects nodes in order and hands out unique names; the importer and operators' lowering write to it."""

    def __init__(self, taken: set[str] | None = None) -> None:
        self.nodes: list[Node] = []
        self._taken = set(taken or ())

    def unique(self, name: str) -> str:
        """`name`, or `name_2`, `name_3` ... when it is taken."""
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate

    def tensor(self, name: str, shape: Shape, dtype: str, quant: Quant | None) -> Tensor:
        """A fresh activation with a unique name derived from `name`."""
        return Tensor(self.unique(name), tuple(shape), dtype, quant)

    def constant(self, name: str, value: Array, quant: Quant | None = None) -> Tensor:
        """A fresh constant with a unique name derived from `name`."""
        return constant(self.unique(name), value, quant)

    def add(
        self,
        op: str,
        name: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        attrs: Attributes | None = None,
    ) -> Node:
        """Append a node."""
        node = Node(op, name, tuple(inputs), tuple(outputs), dict(attrs or {}))
        self.nodes.append(node)
        return node

    def transpose(self, tensor: Tensor, perm: Sequence[int], output: Tensor | None = None) -> Tensor:
        """`tensor` with permuted axes: a constant at once, an activation through a Transpose node."""
        perm = tuple(perm)
        if perm == tuple(range(len(perm))) and output is None:
            return tensor
        quant = transposed_quant(tensor.quant, perm)
        if tensor.value is not None:
            return self.constant(tensor.name, np.transpose(tensor.value, perm), quant)
        shape = tuple(tensor.shape[axis] for axis in perm)
        result = output or self.tensor(tensor.name, shape, tensor.dtype, quant)
        self.add("Transpose", result.name, [tensor], [result], {"perm": perm})
        return result

    def reshape(self, tensor: Tensor, shape: Shape, output: Tensor | None = None) -> Tensor:
        """`tensor` with another shape: a constant at once, an activation through a Reshape node."""
        if tensor.shape == tuple(shape) and output is None:
            return tensor
        if tensor.value is not None:
            return self.constant(tensor.name, tensor.value.reshape(shape), tensor.quant)
        result = output or self.tensor(tensor.name, tuple(shape), tensor.dtype, tensor.quant)
        self.add("Reshape", result.name, [tensor], [result], {"shape": tuple(shape)})
        return result

    def graph(self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Graph:
        """The collected nodes as a graph."""
        return Graph(name, tuple(self.nodes), tuple(inputs), tuple(outputs))
