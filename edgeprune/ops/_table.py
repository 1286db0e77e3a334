"""Functions of one int8 value: what every activation function and Requantize share.

Definition on stored integers: y = clamp(zero_y + round(f(scale_x * (x - zero_x)) / scale_y)), rounding half
to even, computed in float64 for each of the 256 values of x when the code is generated. That is the value of
QuantizeLinear(f(DequantizeLinear(x))) of ONNX. Where f is not a number (the root of a negative), y is the
zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["UnaryTable", "rounded_table"]


def rounded_table(function: Callable[[Array], Array], x: Tensor, y: Tensor) -> Array:
    """The stored `y` for each stored `x` -128 ... 127, rounded half to even and saturated: int8 [256]."""
    real = x.scale * (np.arange(-128, 128, dtype=np.float64) - x.zero_point)
    with np.errstate(all="ignore"):
        steps = function(real) / y.scale
    steps = np.where(np.isnan(steps), 0.0, np.clip(steps, -512.0, 512.0))
    return clamp_int8(np.rint(steps) + y.zero_point)


class UnaryTable(Operator):
    """y = f(x), element by element, by a table of 256 bytes."""

    is_elementwise = True
    defaults: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """Float attributes of the ONNX operator with their defaults; they become the node's attributes."""

    def function(self, node: Node, real: Array) -> Array:
        """f on real numbers (float64)."""
        raise NotImplementedError

    def attributes(self, node: OnnxNode) -> Attributes:
        """The IR node's attributes."""
        return {key: float(node.attrs.get(key, value)) for key, value in self.defaults.items()}

    def number(self, node: Node, key: str) -> float:
        """The attribute `key` as a float."""
        value = node.attrs[key]
        assert isinstance(value, int | float), (node.name, key)
        return float(value)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        build.add(self.name, node.name, [node.required(0)], node.outputs[:1], self.attributes(node))

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (node.inputs[0].shape,)

    def check(self, node: Node) -> None:
        for tensor in (node.inputs[0], node.output):
            if tensor.dtype != "int8" or tensor.quant is None or tensor.quant.axis is not None:
                raise ValueError(f"{tensor.name} must be int8 with one scale and one zero point")

    def table(self, node: Node) -> Array:
        """The output for each stored input -128 ... 127: int8 [256]."""
        return rounded_table(lambda real: self.function(node, real), node.inputs[0], node.output)

    def clamp_range(self, node: Node) -> tuple[int, int] | None:
        """(low, high) when the node only clamps its stored input, at an unchanged scale and zero point."""
        if node.inputs[0].quant != node.output.quant:
            return None
        table = self.table(node)
        low, high = int(table.min()), int(table.max())
        return (low, high) if np.array_equal(table, np.clip(np.arange(-128, 128), low, high)) else None

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        index = inputs[0].astype(np.int64) + 128
        return (self.table(node)[index],)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (self.function(node, inputs[0]),)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return node.attrs
