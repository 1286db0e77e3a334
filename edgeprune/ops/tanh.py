"""Hyperbolic tangent of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Tanh"]


class Tanh(UnaryTable):
    """y = tanh(x)."""

    name = "Tanh"
    onnx_types = ("Tanh",)
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.tanh(real)
        return result


OPERATOR = Tanh()
