"""Add of two int8 tensors, with NumPy broadcasting, and an optional clamp fused from an activation."""

from __future__ import annotations

from edgeprune.ops._arithmetic import Additive

__all__ = ["OPERATOR", "Add"]


class Add(Additive):
    """y = clamp(a + b)."""

    name = "Add"
    onnx_types = ("Add", "QLinearAdd")
    sign = 1


OPERATOR = Add()
