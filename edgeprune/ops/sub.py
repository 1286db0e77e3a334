"""Sub of two int8 tensors, with NumPy broadcasting, and an optional clamp fused from an activation."""

from __future__ import annotations

from edgeprune.ops._arithmetic import Additive

__all__ = ["OPERATOR", "Sub"]


class Sub(Additive):
    """y = clamp(a - b)."""

    name = "Sub"
    onnx_types = ("Sub",)
    sign = -1


OPERATOR = Sub()
