"""Swish of an int8 tensor, known as SiLU at alpha = 1."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Swish"]


class Swish(UnaryTable):
    """y = x / (1 + exp(-alpha * x))."""

    name = "Swish"
    onnx_types = ("Swish",)
    defaults = MappingProxyType({"alpha": 1.0})

    def function(self, node: Node, real: Array) -> Array:
        result: Array = real / (1.0 + np.exp(-self.number(node, "alpha") * real))
        return result


OPERATOR = Swish()
