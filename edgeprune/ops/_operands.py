"""Lowering of the operands of Add, Sub, Mul, Div and MatMul, each int8 with one scale and one zero point."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.ops.base import OnnxNode

__all__ = ["check_binary", "int8_operand", "symmetric_int8"]


def int8_operand(node: OnnxNode, index: int, build: Builder) -> Tensor:
    """Input `index` as int8 per tensor; an int16 constant whose values span 255 or less gets a zero point.

    Raises:
        UsageError: the operand is not quantised to 8 bits per tensor.
    """
    tensor = node.required(index)
    where = f"input {index} of {node.op_type} node {node.name!r}"
    if tensor.quant is None or tensor.dtype not in ("int8", "int16"):
        raise UsageError(f"{where} is {tensor.dtype} and not quantised; quantise it to int8")
    if len(tensor.quant.scale) > 1:
        raise UsageError(f"{where} is quantised per channel; quantise it with one scale per tensor")
    quant = Quant.per_tensor(tensor.quant.scale[0], tensor.quant.zero_point[0])
    value = tensor.value
    if value is None:
        return tensor
    if tensor.dtype == "int8":
        return tensor if tensor.quant == quant else build.constant(tensor.name, value, quant)
    centred = value.astype(np.int64) - quant.zero_point[0]
    lowest, highest = -128 - int(centred.min(initial=0)), 127 - int(centred.max(initial=0))
    if lowest > highest:
        raise UsageError(f"{where} holds integers beyond 8 bits; quantise it to int8")
    zero_point = min(max(0, lowest), highest)
    stored = (centred + zero_point).astype(np.int8)
    return build.constant(tensor.name, stored, Quant.per_tensor(quant.scale[0], zero_point))


def check_binary(node: Node) -> None:
    """The type rule of operators on two int8 tensors.

    Raises:
        ValueError: an operand or the output is not int8 with one scale.
    """
    for tensor in (*node.inputs, node.output):
        if tensor.dtype != "int8" or tensor.quant is None or tensor.quant.axis is not None:
            raise ValueError(f"{tensor.name!r} must be int8 with one scale and zero point")


def symmetric_int8(array: Array) -> tuple[Array, Quant]:
    """A float constant as int8 at the symmetric scale max|c| / 127 (1 where it is all zeros)."""
    largest = float(np.max(np.abs(array), initial=0.0))
    scale = largest / 127 if largest > 0 and math.isfinite(largest) else 1.0
    return np.clip(np.rint(array / scale), -127, 127).astype(np.int8), Quant.per_tensor(scale, 0)
