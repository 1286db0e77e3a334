"""Softmax over the last axis of an int8 tensor.

Definition on stored integers, for each row (e and S as in `_exponentials`):

    k = the least shift with S < 2**(31 + k);  s = S >> k, in [2**30, 2**31)
    r = floor((2**32 - 1) / ((s + 2**14) >> 15)), about 2**47 / s: one division of 32 bits
    t = 2**61 - s * (r << 14);  inverse = (r << 14) + (r * (t >> 31) >> 16): a Newton step to 2**61 / s
    w = inverse * multiplier >> 31;  q = min(61 + k - shift_y, 62)
    y = clamp(zero_y + ((e(d) * w + 2**(q - 1)) >> q)) for each element

with 1 / scale_y = multiplier / 2**31 * 2**shift_y.

Ranges. (s + 2**14) >> 15 is in [2**15, 2**16], so r is in [2**16 - 1, 2**17). r << 14 is 2**61 / s within a
relative 2**-15 (1 + 2**-14), so |t| < 2**47, |t >> 31| <= 2**16 and |r * (t >> 31)| < 2**33: 64 bits. A Newton
step never exceeds the quotient it approaches, and both shifts round down, so inverse <= 2**61 / s <= 2**31 and
w < 2**31; e(d) * w < 2**61 and the sum with 2**(q - 1) is below 2**62. scale_y >= 2**-20 makes shift_y <= 21
and q >= 40, so the shifted sum is below 2**22.

Accuracy. The step squares the relative error to 2**-30 and its shifts add less than 2**-28. e(d) is within 1.5
and S within 1.5 n of 2**30 times their real values. Where y does not saturate, it is therefore within
255 * (2**-27 + 1.5 n / 2**30) + 1.5 * 2**-30 / scale_y < 0.4 of the quotient before it is rounded, for every
n <= 2**20: within 1 of the rounded float.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Quant, Shape
from edgeprune.ops._exponentials import check_row, exponentials, lower_over_axis
from edgeprune.ops._fixed_point import clamp_int8, quantize_multiplier
from edgeprune.ops._layout import keeps_last_axis
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "Softmax"]

_LEAST_SCALE = 2.0**-20


class Softmax(Operator):
    """y = exp(x) / sum of exp(x) over the last axis."""

    name = "Softmax"
    onnx_types = ("Softmax",)
    natural_quant = Quant.per_tensor(1 / 256, -128)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        lower_over_axis(self.name, node, build)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (node.inputs[0].shape,)

    def check(self, node: Node) -> None:
        check_row(node)
        if node.output.scale < _LEAST_SCALE:
            raise ValueError(f"the output's scale {node.output.scale} is below 2**-20")

    def output_multiplier(self, node: Node) -> tuple[int, int]:
        """(multiplier, shift_y) of 1 / scale_y."""
        return quantize_multiplier(1.0 / node.output.scale)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x = inputs[0].astype(np.int64)
        e = exponentials(node.inputs[0].scale).astype(np.int64)[x.max(axis=-1, keepdims=True) - x]
        multiplier, shift_y = self.output_multiplier(node)
        total = e.sum(axis=-1, keepdims=True)
        k = np.maximum(np.frexp(total.astype(np.float64))[1] - 31, 0).astype(np.int64)
        s = total >> k
        r = ((1 << 32) - 1) // ((s + (1 << 14)) >> 15)
        step = (r * (((1 << 61) - s * (r << 14)) >> 31)) >> 16
        w = (((r << 14) + step).astype(np.uint64) * np.uint64(multiplier)) >> np.uint64(31)
        q = np.minimum(61 + k - shift_y, 62).astype(np.uint64)
        steps = (e.astype(np.uint64) * w + (np.uint64(1) << (q - np.uint64(1)))) >> q
        return (clamp_int8(steps.astype(np.int64) + node.output.zero_point),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        e = np.exp(inputs[0] - inputs[0].max(axis=-1, keepdims=True))
        return (e / e.sum(axis=-1, keepdims=True),)

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        return None if axis == len(node.inputs[0].shape) - 1 else (axis, node.attrs)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return keeps_last_axis(node, perm)


OPERATOR = Softmax()
