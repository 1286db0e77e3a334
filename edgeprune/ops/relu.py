"""Relu of an int8 tensor; a clamp where the scale does not change."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Relu"]


class Relu(UnaryTable):
    """y = max(x, 0)."""

    name = "Relu"
    onnx_types = ("Relu",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.maximum(real, 0.0)
        return result


OPERATOR = Relu()
