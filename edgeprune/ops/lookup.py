"""Lookup: any function of one int8 value, given as its table.

The importer makes it of several ONNX operators between two stored tensors, whose composition rounds once. The
definition is the table itself; on real numbers, the lines between its points.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Lookup"]


class Lookup(UnaryTable):
    """y = attrs table[x + 128]; 256 stored outputs."""

    name = "Lookup"

    def table(self, node: Node) -> Array:
        return np.array(node.ints("table"), np.int8)

    def check(self, node: Node) -> None:
        super().check(node)
        table = node.ints("table")
        if len(table) != 256 or min(table) < -128 or max(table) > 127:
            raise ValueError("a table has 256 entries of int8")

    def function(self, node: Node, real: Array) -> Array:
        x, y = node.inputs[0], node.output
        points = x.scale * (np.arange(-128, 128) - x.zero_point)
        result: Array = np.interp(
            real, points, y.scale * (self.table(node).astype(np.float64) - y.zero_point)
        )
        return result


OPERATOR = Lookup()
