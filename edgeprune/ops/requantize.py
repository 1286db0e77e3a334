"""Requantize: the same real numbers at another scale and zero point, int8 to int8.

No ONNX operator lowers to it directly; the importer inserts it where operands of one operator must share a
scale, as those of Concat.
"""

from __future__ import annotations

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Requantize"]


class Requantize(UnaryTable):
    """y = x, stored at the output's scale and zero point."""

    name = "Requantize"

    def function(self, node: Node, real: Array) -> Array:
        return real


OPERATOR = Requantize()
