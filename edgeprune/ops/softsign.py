"""Softsign of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Quant
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "Softsign"]


class Softsign(UnaryTable):
    """y = x / (1 + |x|)."""

    name = "Softsign"
    onnx_types = ("Softsign",)
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = real / (1.0 + np.abs(real))
        return result


OPERATOR = Softsign()
