"""Fixed-point exponentials and sums that Softmax and LogSoftmax share.

For a row x[0..n) of stored values with maximum x_max, d = x_max - x is in [0, 255]. Every quantity is an integer:

    coarse[i] = round(2**30 * exp(-16 * i * scale_x)),  fine[j] = round(2**30 * exp(-j * scale_x)),  i, j < 16
    e(d) = (coarse[d >> 4] * fine[d & 15] + 2**29) >> 30       <= 2**30, within 1.5 of 2**30 * exp(-d * scale_x)
    S = sum of e(d)                                            e(0) = 2**30, so 2**30 <= S <= n * 2**30

A product in e is at most 2**60. Rows are limited to n <= 2**20, so S <= 2**50 fits 64 bits.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node

__all__ = ["ROW_LIMIT", "check_row", "exponentials", "factors"]

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
