"""Floor of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Floor"]


class Floor(UnaryTable):
    """y = floor(x)."""

    name = "Floor"
    onnx_types = ("Floor",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.floor(real)
        return result


OPERATOR = Floor()
