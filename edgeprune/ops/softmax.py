"""Softmax over the last axis of an int8 tensor.

Definition on stored integers, for each row (e and S as in `_exponentials`):

    shift:       the least k with S < 2**(31 + k);  s = S >> k, in [2**30, 2**31)
    reciprocal:  r = floor((2**32 - 1) / ((s + 2**14) >> 15)), about 2**46 / s * 2;  one division of 32 bits
    Newton step: t = 2**61 - s * (r << 14);  inverse = (r << 14) + (r * (t >> 31) >> 16), about 2**61 / s
    per element: y = clamp(zero_y + ((e(d) * w + 2**(q - 1)) >> q)),  w = inverse * multiplier >> 31

with 1 / scale_y = multiplier / 2**31 * 2**shift_y and q = min(61 + k - shift_y, 62).

Ranges. (s + 2**14) >> 15 is in [2**15, 2**16], so r is in [2**16 - 1, 2**17). r << 14 is 2**61 / s within a
relative 2**-15, so |t| < 2**46 + 2**45, |t >> 31| < 2**16 and r * (t >> 31) < 2**33: 64 bits. The step squares
the relative error to below 2**-28, so inverse <= 2**31 + 8 fits uint32, w < 2**31 + 8, and e(d) * w < 2**62.
scale_y >= 2**-20 makes shift_y <= 21 and q >= 40.

Accuracy. Before rounding y is within 255 * (2**-28 + (n + 1) * 2**-29) of the quotient where it does not
saturate, plus 1.5 * 2**-30 / scale_y: below 1/4 for n up to 2**20 and usual scales, so y is within 1 of the
rounded float.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Quant, Shape, Tensor
from edgeprune.ops._exponentials import check_row, exponentials
from edgeprune.ops._fixed_point import clamp_int8, quantize_multiplier
from edgeprune.ops._layout import with_axis_last
from edgeprune.ops._values import normalized_axis
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


def lower_over_axis(op: str, node: OnnxNode, build: Builder) -> None:
    """Append `op` over the axis of an ONNX Softmax or LogSoftmax node, moved to the end.

    Before opset 13 the operators flatten their input to two axes at attribute axis (default 1).
    """
    x, y = node.required(0), node.outputs[0]
    if node.opset >= 13:
        axis = normalized_axis(node, int(node.attrs.get("axis", -1)), len(x.shape))
        with_axis_last(
            build, x, y, axis, lambda moved, result: _append(op, node.name, build, moved, result)
        )
        return
    axis = normalized_axis(node, int(node.attrs.get("axis", 1)), len(x.shape))
    if axis == len(x.shape) - 1:
        _append(op, node.name, build, x, y)
        return
    flat = (*x.shape[:axis], math.prod(x.shape[axis:]))
    result = build.tensor(y.name, flat, y.dtype, y.quant)
    _append(op, node.name, build, build.reshape(x, flat), result)
    build.reshape(result, y.shape, output=y)


def _append(op: str, name: str, build: Builder, x: Tensor, y: Tensor) -> None:
    build.add(op, name, [x], [y])


OPERATOR = Softmax()
