"""HardSwish of an int8 tensor."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.ops._table import UnaryTable

__all__ = ["OPERATOR", "HardSwish"]


class HardSwish(UnaryTable):
    """y = x * clip(x / 6 + 1 / 2, 0, 1)."""

    name = "HardSwish"
    onnx_types = ("HardSwish",)

    def function(self, node: Node, real: Array) -> Array:
        result: Array = real * np.clip(real / 6.0 + 0.5, 0.0, 1.0)
        return result


OPERATOR = HardSwish()
