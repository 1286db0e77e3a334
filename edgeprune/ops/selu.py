"""Selu of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Selu"]


class Selu(UnaryTable):
    """y = gamma * x for x >= 0, gamma * alpha * (exp(x) - 1) below."""

    name = "Selu"
    onnx_types = ("Selu",)
    defaults = MappingProxyType({"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875})

    def function(self, node: Node, real: Array) -> Array:
        negative = self.number(node, "alpha") * np.expm1(real)
        result: Array = self.number(node, "gamma") * np.where(real < 0.0, negative, real)
        return result


OPERATOR = Selu()
