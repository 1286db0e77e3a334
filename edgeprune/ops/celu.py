"""Celu of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Celu"]


class Celu(UnaryTable):
    """y = x for x >= 0, alpha * (exp(x / alpha) - 1) below."""

    name = "Celu"
    onnx_types = ("Celu",)
    defaults = MappingProxyType({"alpha": 1.0})

    def function(self, node: Node, real: Array) -> Array:
        alpha = self.number(node, "alpha")
        result: Array = np.where(real < 0.0, alpha * np.expm1(real / alpha), real)
        return result


OPERATOR = Celu()
