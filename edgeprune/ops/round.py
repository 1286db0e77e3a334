"""Rounding to the nearest integer, ties to even, of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Round"]


class Round(UnaryTable):
    """y = round(x)."""

    name = "Round"
    onnx_types = ("Round",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.rint(real)
        return result


OPERATOR = Round()
