"""What operators that only move stored values share: any dtype, the same bytes out as in."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops.base import Operator

__all__ = ["DataMovement"]


class DataMovement(Operator):
    """An operator whose output holds its inputs' elements at other places, at the same scale."""

    keeps_quant = True

    def move(self, node: Node, *inputs: Array) -> Array:
        """The output of NumPy arrays of any type."""
        raise NotImplementedError

    def check(self, node: Node) -> None:
        for tensor in (*node.inputs, *node.outputs):
            if (tensor.dtype, tensor.quant) != (node.output.dtype, node.output.quant):
                raise ValueError(
                    f"{tensor.name} and {node.output.name} must have one type, scale and zero point"
                )

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.asarray(self.move(node, *inputs), order="C"),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (self.move(node, *inputs),)
