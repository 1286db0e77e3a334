"""Sigmoid of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Sigmoid"]


class Sigmoid(UnaryTable):
    """y = 1 / (1 + exp(-x))."""

    name = "Sigmoid"
    onnx_types = (
        "Sigmoid",
        "QLinearSigmoid",
    )
    natural_quant = Quant.per_tensor(1 / 256, -128)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = 1.0 / (1.0 + np.exp(-real))
        return result


OPERATOR = Sigmoid()
