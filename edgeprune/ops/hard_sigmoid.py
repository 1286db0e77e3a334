"""HardSigmoid of an int8 tensor."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "HardSigmoid"]


class HardSigmoid(UnaryTable):
    """y = clip(alpha * x + beta, 0, 1)."""

    name = "HardSigmoid"
    onnx_types = ("HardSigmoid",)
    defaults = MappingProxyType({"alpha": 0.2, "beta": 0.5})
    natural_quant = Quant.per_tensor(1 / 256, -128)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.clip(self.number(node, "alpha") * real + self.number(node, "beta"), 0.0, 1.0)
        return result


OPERATOR = HardSigmoid()
