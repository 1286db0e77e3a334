"""Ceiling of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Ceil"]


class Ceil(UnaryTable):
    """y = ceil(x)."""

    name = "Ceil"
    onnx_types = ("Ceil",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.ceil(real)
        return result


OPERATOR = Ceil()
