"""Lowering of the operands of Add, Sub, Mul and MatMul, each int8 with one scale and one zero point."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Node, Quant, Tensor
from edgeprune.ops.base import OnnxNode

__all__ = ["check_binary", "int8_operand"]


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
