"""Softplus of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Softplus"]


class Softplus(UnaryTable):
    """y = log(1 + exp(x))."""

    name = "Softplus"
    onnx_types = ("Softplus",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.logaddexp(real, 0.0)
        return result


OPERATOR = Softplus()
