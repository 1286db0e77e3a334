"""Exponential of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Exp"]


class Exp(UnaryTable):
    """y = e**x."""

    name = "Exp"
    onnx_types = ("Exp",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.exp(real)
        return result


OPERATOR = Exp()
