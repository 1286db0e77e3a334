"""Power of an int8 tensor to a constant exponent."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Attributes, Node
from edgeprune.ops._table import UnaryTable
from edgeprune.ops._values import scalar
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Pow"]


class Pow(UnaryTable):
    """y = x ** attrs exponent."""

    name = "Pow"
    onnx_types = ("Pow",)

    def attributes(self, node: OnnxNode) -> Attributes:
        node.required(1)
        return {"exponent": scalar(node, 1, "exponent", 1.0)}

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.power(real, self.number(node, "exponent"))
        return result


OPERATOR = Pow()
