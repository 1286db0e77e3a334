"""ThresholdedRelu of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "ThresholdedRelu"]


class ThresholdedRelu(UnaryTable):
    """y = x for x > alpha, else 0."""

    name = "ThresholdedRelu"
    onnx_types = ("ThresholdedRelu",)
    defaults = MappingProxyType({"alpha": 1.0})

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.where(real > self.number(node, "alpha"), real, 0.0)
        return result


OPERATOR = ThresholdedRelu()
