"""Reciprocal of an int8 tensor."""

from __future__ import annotations

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Reciprocal"]


class Reciprocal(UnaryTable):
    """y = 1 / x."""

    name = "Reciprocal"
    onnx_types = ("Reciprocal",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = 1.0 / real
        return result


OPERATOR = Reciprocal()
