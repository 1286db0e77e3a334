"""Natural logarithm of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Log"]


class Log(UnaryTable):
    """y = ln(x)."""

    name = "Log"
    onnx_types = ("Log",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.log(real)
        return result


OPERATOR = Log()
