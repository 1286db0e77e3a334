"""Elu of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Elu"]


class Elu(UnaryTable):
    """y = x for x >= 0, alpha * (exp(x) - 1) below."""

    name = "Elu"
    onnx_types = ("Elu",)
    defaults = MappingProxyType({"alpha": 1.0})

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.where(real < 0.0, self.number(node, "alpha") * np.expm1(real), real)
        return result


OPERATOR = Elu()
