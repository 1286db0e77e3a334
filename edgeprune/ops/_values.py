"""Reading the constants and attributes of ONNX nodes."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array, Tensor
from edgeprune.ops.base import OnnxNode

__all__ = ["constant_ints", "normalized_axis", "real_value", "scalar"]


def real_value(tensor: Tensor, stored: Array | None = None) -> Array:
    """The real numbers (float64) of a constant; `stored` replaces its own value."""
    value = tensor.value if stored is None else stored
    assert value is not None, tensor.name
    real = value.astype(np.float64)
    if tensor.quant is None:
        return real
    shape = [1] * value.ndim
    if tensor.quant.axis is not None:
        shape[tensor.quant.axis] = -1
    elif value.ndim == 0:
        shape = []
    scale = np.reshape(np.array(tensor.quant.scale), shape)
    result: Array = (real - np.reshape(np.array(tensor.quant.zero_point), shape)) * scale
    return result


def scalar(node: OnnxNode, index: int, what: str, default: float) -> float:
    """Input `index`, a constant of one element, as a real number; `default` where it is absent.

    Raises:
        UsageError: the input is computed, or has several elements.
    """
    tensor = node.input(index)
    if tensor is None:
        return default
    if node.constant(index, what).size != 1:
        raise UsageError(
            f"{node.op_type} node {node.name!r} has a {what} of several elements; it must be a scalar"
        )
    return float(real_value(tensor).reshape(()))


def constant_ints(node: OnnxNode, index: int, key: str) -> tuple[int, ...] | None:
    """The integers of input `index`, or of attribute `key` in older opsets; None where both are absent.

    Raises:
        UsageError: the input is computed.
    """
    if node.input(index) is not None:
        return tuple(int(item) for item in np.ravel(node.constant(index, key)))
    value = node.attrs.get(key)
    return None if value is None else tuple(int(item) for item in value)


def normalized_axis(node: OnnxNode, axis: int, rank: int) -> int:
    """`axis` counted from 0.

    Raises:
        UsageError: the axis is outside [-rank, rank).
    """
    if not -rank <= axis < rank:
        raise UsageError(f"{node.op_type} node {node.name!r} names axis {axis} of a tensor with {rank} axes")
    return axis % rank
