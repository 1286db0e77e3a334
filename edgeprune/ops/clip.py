"""Clip of an int8 tensor to constant bounds, Relu6 included; a clamp where the scale does not change."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.ir import Array, Attributes, Node
from edgeprune.ops._table import UnaryTable
from edgeprune.ops._values import scalar
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Clip"]


class Clip(UnaryTable):
    """y = min(max(x, attrs min), attrs max); a bound that is absent is infinite."""

    name = "Clip"
    onnx_types = ("Clip", "Relu6")

    def attributes(self, node: OnnxNode) -> Attributes:
        if node.op_type == "Relu6":
            return {"min": 0.0, "max": 6.0}
        if node.opset < 11:
            return {
                "min": float(node.attrs.get("min", -math.inf)),
                "max": float(node.attrs.get("max", math.inf)),
            }
        return {
            "min": scalar(node, 1, "minimum", -math.inf),
            "max": scalar(node, 2, "maximum", math.inf),
        }

    def function(self, node: Node, real: Array) -> Array:
        result: Array = np.minimum(np.maximum(real, self.number(node, "min")), self.number(node, "max"))
        return result


OPERATOR = Clip()
