"""Sign of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Sign"]


class Sign(UnaryTable):
    """y = sign(x)."""

    name = "Sign"
    onnx_types = ("Sign",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.sign(real)
        return result


OPERATOR = Sign()
