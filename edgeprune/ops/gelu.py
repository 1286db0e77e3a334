"""Gelu of an int8 tensor, in its exact form (by erf) and its approximation (by tanh).

Source: D. Hendrycks and K. Gimpel, Gaussian Error Linear Units, arXiv:1606.08415.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array, Attributes, Node
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Gelu"]


class Gelu(UnaryTable):
    """y = x * Phi(x), Phi the normal distribution; attrs approximate is "none" or "tanh"."""

    name = "Gelu"
    onnx_types = ("Gelu", "FastGelu")

    def attributes(self, node: OnnxNode) -> Attributes:
        if node.op_type == "FastGelu":
            if node.input(1) is not None:
                raise UsageError(
                    f"FastGelu node {node.name!r} has a bias, which is not supported; add it before with Add"
                )
            return {"approximate": "tanh"}
        approximate = str(node.attrs.get("approximate", "none"))
        if approximate not in ("none", "tanh"):
            raise UsageError(
                f"Gelu node {node.name!r} has the approximation {approximate!r}; it must be none or tanh"
            )
        return {"approximate": approximate}

    def function(self, node: Node, real: Array) -> Array:
        if node.attrs["approximate"] == "tanh":
            inner = math.sqrt(2.0 / math.pi) * (real + 0.044715 * real**3)
            result: Array = 0.5 * real * (1.0 + np.tanh(inner))
            return result
        phi = [0.5 * math.erfc(-value / math.sqrt(2.0)) for value in real.flat]
        exact: Array = real * np.array(phi).reshape(real.shape)
        return exact


OPERATOR = Gelu()
