"""Error function of an int8 tensor."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Erf"]


class Erf(UnaryTable):
    """y = erf(x)."""

    name = "Erf"
    onnx_types = ("Erf",)
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.array([math.erf(value) for value in real.flat]).reshape(real.shape)
        return result


OPERATOR = Erf()
