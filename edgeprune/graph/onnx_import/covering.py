"""Scales that follow from ranges, for real values that a model leaves without one.

A value computed from stored activations and constants cannot leave the interval that theirs imply; a scale that
covers the interval saturates nothing. It is used only where the interval is at most about twice too wide: means,
sums and differences, and arithmetic with constants. Products of activations are left to be refused.

A graph input whose only use is to be normalised by constants, before its first scale, gets the scale that covers
what that first scale covers: beyond it, the normalised value would saturate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from edgeprune.graph.ir import Array, Quant, Tensor
from edgeprune.graph.onnx_import.quantization import Slots

__all__ = ["ARITHMETIC", "Constants", "covering_quant", "interval_quant", "normalised_input_quant"]

Constants = Callable[[ir.Value], "Tensor | None"]
"""The tensor of a constant value, with its real numbers; None for a computed one."""

ARITHMETIC: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {"Add": np.add, "Div": np.divide, "Mul": np.multiply, "Sub": np.subtract}
)
_INVERSES = MappingProxyType({"Add": "Sub", "Div": "Mul", "Mul": "Div", "Sub": "Add"})
_MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")


def covering_quant(values: Array) -> Quant | None:
    """The int8 parameters that cover 0 and all of `values`; None where one is not a finite number."""
    if values.dtype != np.float64 or not np.isfinite(values).all():
        return None
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    scale = (high - low) / 255 or 1.0
    return Quant.per_tensor(scale, round(-128 - low / scale)) if math.isfinite(scale) else None


def interval_quant(node: ir.Node, slots: Slots, constant: Constants) -> Quant | None:
    """Parameters that cover every result of `node`; None where no rule gives them."""
    inputs = [value for value in node.inputs if value is not None]
    if node.op_type in _MEANS:
        return slots.quant(inputs[0])
    if node.op_type not in ARITHMETIC:
        return None
    constants = [constant(value) for value in inputs]
    if node.op_type not in ("Add", "Sub") and not any(constants):
        return None
    operands = []
    for value, known in zip(inputs, constants, strict=True):
        quant = slots.quant(value)
        if known is not None:
            operands.append(np.ravel(_numbers(known)))
        elif quant is not None:
            operands.append(_ends(quant))
        else:
            return None
    with np.errstate(all="ignore"):
        corners = ARITHMETIC[node.op_type](operands[0][:, None], operands[1])
    return covering_quant(corners)


def normalised_input_quant(value: ir.Value, slots: Slots, constant: Constants) -> Quant | None:
    """Parameters for graph input `value`, from the first scale behind a chain of arithmetic with constants."""
    chain: list[tuple[str, Array]] = []
    while slots.quant(value) is None:
        uses = list(value.uses())
        if len(uses) != 1 or uses[0].idx != 0 or uses[0].node.op_type not in ARITHMETIC:
            return None
        node = uses[0].node
        operand = None if node.inputs[1] is None else constant(node.inputs[1])
        if operand is None:
            return None
        chain.append((node.op_type, np.ravel(_numbers(operand))))
        value = node.outputs[0]
    quant = slots.quant(value)
    if quant is None or not chain:
        return None
    real = _ends(quant)
    for op_type, numbers in reversed(chain):
        with np.errstate(all="ignore"):
            real = np.ravel(ARITHMETIC[_INVERSES[op_type]](real[:, None], numbers))
        real = np.array([real.min(), real.max()])
    return covering_quant(real)


def _numbers(tensor: Tensor) -> Array:
    assert tensor.value is not None
    return tensor.value.astype(np.float64)


def _ends(quant: Quant) -> Array:
    """The real numbers at both ends of int8."""
    return quant.scale[0] * (np.array([-128.0, 127.0]) - quant.zero_point[0])
