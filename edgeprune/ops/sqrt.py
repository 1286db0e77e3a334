"""Square root of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Sqrt"]


class Sqrt(UnaryTable):
    """y = sqrt(x)."""

    name = "Sqrt"
    onnx_types = ("Sqrt",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.sqrt(real)
        return result


OPERATOR = Sqrt()
