"""Cosine of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Cos"]


class Cos(UnaryTable):
    """y = cos(x)."""

    name = "Cos"
    onnx_types = ("Cos",)
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.cos(real)
        return result


OPERATOR = Cos()
