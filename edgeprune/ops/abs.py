"""Absolute value of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Abs"]


class Abs(UnaryTable):
    """y = |x|."""

    name = "Abs"
    onnx_types = ("Abs",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.abs(real)
        return result


OPERATOR = Abs()
