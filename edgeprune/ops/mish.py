"""Mish of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Mish"]


class Mish(UnaryTable):
    """y = x * tanh(log(1 + exp(x)))."""

    name = "Mish"
    onnx_types = ("Mish",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = real * np.tanh(np.logaddexp(real, 0.0))
        return result


OPERATOR = Mish()
