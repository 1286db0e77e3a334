"""LogSoftmax over the last axis of an int8 tensor.

Definition on stored integers, for each row (d, e and S as in `_exponentials`):

    k = the least shift with S < 2**(31 + k);  s = S >> k, in [2**30, 2**31)
    L = k * 2**20 + log2(s / 2**30) in 20 bits, one per step:
        z = z * z >> 30; the bit is z >= 2**31, and then z = z >> 1
    y = clamp(zero_y - ((d * ma * 2**20 + L * mb + 2**39) >> 40)) for each element

where ma = round(scale_x / scale_y * 2**20) and mb = round(ln(2) / scale_y * 2**20).

Ranges. z stays in [2**30, 2**31) and its square below 2**62. scale_y >= 2**-12 and scale_x / scale_y <= 2**10
make ma <= 2**30, mb < 2**32, d * ma * 2**20 < 2**58 and L * mb < 2**57, as L < 21 * 2**20.

Accuracy. A step's truncation changes log2(s) by less than 2**-30 halved once per step before it, so L is within
2 of the true value; with the errors of S, ma and mb, y is within (4 + n / 2**8) / 2**20 / scale_y + 2**-12 of
the real value before rounding: within 1 of the rounded float for n <= 2**18 at scale_y >= 2**-8.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._exponentials import check_row, exponentials, lower_over_axis
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops._layout import keeps_last_axis
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "LogSoftmax"]

_LEAST_SCALE, _LARGEST_RATIO = 2.0**-12, 2.0**10
_FRACTION_BITS = 20


class LogSoftmax(Operator):
    """y = x - log(sum of exp(x)) over the last axis."""

    name = "LogSoftmax"
    onnx_types = ("LogSoftmax",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        lower_over_axis(self.name, node, build)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (node.inputs[0].shape,)

    def check(self, node: Node) -> None:
        check_row(node)
        x, y = node.inputs[0], node.output
        if y.scale < _LEAST_SCALE or x.scale / y.scale > _LARGEST_RATIO:
            raise ValueError(f"the output's scale {y.scale} is below 2**-12 or 2**-10 of the input's")

    def multipliers(self, node: Node) -> tuple[int, int]:
        """(ma, mb)."""
        x, y = node.inputs[0], node.output
        return round(x.scale / y.scale * 2**20), round(math.log(2.0) / y.scale * 2**20)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x = inputs[0].astype(np.int64)
        d = x.max(axis=-1, keepdims=True) - x
        total = exponentials(node.inputs[0].scale).astype(np.int64)[d].sum(axis=-1, keepdims=True)
        ma, mb = self.multipliers(node)
        steps = (d * (ma << 20) + _log2(total) * mb + (1 << 39)) >> 40
        return (clamp_int8(node.output.zero_point - steps),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        shifted = inputs[0] - inputs[0].max(axis=-1, keepdims=True)
        return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)),)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        return None if axis == len(node.inputs[0].shape) - 1 else (axis, node.attrs)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return keeps_last_axis(node, perm)


def _log2(total: Array) -> Array:
    """log2(total / 2**30) in 20 fraction bits, for int64 totals of at least 2**30."""
    k = np.maximum(np.frexp(total.astype(np.float64))[1] - 31, 0).astype(np.int64)
    z = total >> k
    result: Array = k
    for _ in range(_FRACTION_BITS):
        z = (z * z) >> 30
        bit = z >> 31
        z = z >> bit
        result = 2 * result + bit
    return result


OPERATOR = LogSoftmax()
