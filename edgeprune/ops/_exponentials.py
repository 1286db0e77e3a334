"""What Softmax and LogSoftmax share: their lowering, and fixed-point exponentials and sums.

For a row x[0..n) of stored values with maximum x_max, d = x_max - x is in [0, 255]. Every quantity is an integer:

    coarse[i] = round(2**30 * exp(-16 * i * scale_x)),  fine[j] = round(2**30 * exp(-j * scale_x)),  i, j < 16
    e(d) = (coarse[d >> 4] * fine[d & 15] + 2**29) >> 30       <= 2**30, within 1.5 of 2**30 * exp(-d * scale_x)
    S = sum of e(d)                                            e(0) = 2**30, so 2**30 <= S <= n * 2**30

A product in e is at most 2**60. Rows are limited to n <= 2**20, so S <= 2**50 fits 64 bits.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.ops._layout import with_axis_last
from edgeprune.ops._values import normalized_axis
from edgeprune.ops.base import OnnxNode

__all__ = ["ROW_LIMIT", "check_row", "exponentials", "factors", "lower_over_axis"]

ROW_LIMIT = 1 << 20


def factors(scale: float) -> tuple[Array, Array]:
    """coarse and fine for inputs of `scale`: two uint32 arrays of 16."""
    index = np.arange(16, dtype=np.float64)
    coarse = np.rint(2.0**30 * np.exp(-16.0 * index * scale))
    fine = np.rint(2.0**30 * np.exp(-index * scale))
    return coarse.astype(np.uint32), fine.astype(np.uint32)


def exponentials(scale: float) -> Array:
    """e(d) for d = 0 ... 255: uint32 [256]."""
    coarse, fine = (factor.astype(np.uint64) for factor in factors(scale))
    products = (coarse[:, None] * fine[None, :] + np.uint64(1 << 29)) >> np.uint64(30)
    return products.reshape(256).astype(np.uint32)


def check_row(node: Node) -> None:
    """The rules of the arithmetic above.

    Raises:
        ValueError: a tensor is not int8 with one scale, or a row is longer than 2**20.
    """
    for tensor in (node.inputs[0], node.output):
        if tensor.dtype != "int8" or tensor.quant is None or tensor.quant.axis is not None:
            raise ValueError(f"{tensor.name} must be int8 with one scale and one zero point")
    if node.inputs[0].shape[-1] > ROW_LIMIT:
        raise ValueError(f"a row of {node.inputs[0].shape[-1]} elements is longer than {ROW_LIMIT}")


def lower_over_axis(op: str, node: OnnxNode, build: Builder) -> None:
    """Append `op` over the axis of an ONNX Softmax or LogSoftmax node, moved to the end.

    Before opset 13 the operators flatten their input to two axes at attribute axis (default 1).
    """
    x, y = node.required(0), node.outputs[0]
    if node.opset >= 13:
        axis = normalized_axis(node, int(node.attrs.get("axis", -1)), len(x.shape))
        with_axis_last(build, x, y, axis, lambda moved, result: _append(op, node.name, build, moved, result))
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
