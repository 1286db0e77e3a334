"""LeakyRelu of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "LeakyRelu"]


class LeakyRelu(UnaryTable):
    """y = x for x >= 0, alpha * x below."""

    name = "LeakyRelu"
    onnx_types = (
        "LeakyRelu",
        "QLinearLeakyRelu",
    )
    defaults = MappingProxyType({"alpha": 0.01})

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.where(real < 0.0, self.number(node, "alpha") * real, real)
        return result


OPERATOR = LeakyRelu()
