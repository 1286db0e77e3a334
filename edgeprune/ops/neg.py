"""Negative of an int8 tensor."""

from __future__ import annotations

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Neg"]


class Neg(UnaryTable):
    """y = -x."""

    name = "Neg"
    onnx_types = ("Neg",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = -real
        return result


OPERATOR = Neg()
