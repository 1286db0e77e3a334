"""Sine of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Sin"]


class Sin(UnaryTable):
    """y = sin(x)."""

    name = "Sin"
    onnx_types = ("Sin",)
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.sin(real)
        return result


OPERATOR = Sin()
