"""Functions that the portable kernels of linear operators share: sums of products, and their scaling.

They are kept out of line: a compiler that inlines them into a kernel's loop nest runs out of registers and
spills the sums in the innermost loop. Being shared, they also cost their flash only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import REQUANTIZE_BYTES
from edgeprune.kernels.base import Constant, Function
from edgeprune.ops._convolution import requantized_multipliers
from edgeprune.templating import render

__all__ = [
    "BLOCK",
    "WeightType",
    "block_sizes",
    "columns_function",
    "depthwise_function",
    "depthwise_name",
    "last_block",
    "multiply_function",
    "multiply_name",
    "store_function",
    "sum_cycles",
    "sum_instructions",
    "weight_type",
    "weight_waits",
    "weights_constant",
]

WeightType: TypeAlias = Literal["int8", "int16"]
"""How weights are stored: int16 where they were less a zero point, and so span [-255, 255]."""

BLOCK = 4
"""Outputs summed at a time, as long as there are that many."""


def block_sizes(outputs: int) -> tuple[int, ...]:
    """The blocks needed for `outputs`: of 4, and of 1 for what remains."""
    return (*((BLOCK,) if outputs >= BLOCK else ()), *((1,) if outputs % BLOCK else ()))


def last_block(outputs: int) -> int:
    """How many of `outputs` the last block computes."""
    return block_sizes(outputs)[-1]


def sum_instructions(outputs: int, products: float, calls: float, rows: float) -> dict[_cost.Kind, float]:
    """Instructions that `multiply_function` takes for blocks of `outputs`, counted on Cortex-M3.

    Args:
        outputs: summed from the same inputs.
        products: weights of one output that are multiplied.
        calls: of the function for each block, each with 45 instructions.
        rows: contiguous stretches of inputs, each with 12.
    """
    fours, ones = divmod(outputs, BLOCK)
    return {
        _cost.Kind.SUMS: fours * 12 * products + ones * 6 * products,
        _cost.Kind.SCALAR: (fours + ones) * (45 * calls + 12 * rows),
    }


def sum_cycles(device: Device, sums: Mapping[_cost.Kind, float], others: float, repeats: int = 1) -> float:
    """Cycles of `sum_instructions` and of `others` that are neither, everything `repeats` times."""
    scalar = sums[_cost.Kind.SCALAR] + others
    return repeats * _cost.cycles(device, {**sums, _cost.Kind.SCALAR: scalar})


def weight_waits(device: Device, node: Node, products: float, passes: float) -> float:
    """Cycles that a portable kernel waits for the weights and output constants of a node with inputs x, w, b.

    Args:
        device: whose flash they are read from.
        node: its weights are read one at a time; bias, multiplier and shift with each output.
        products: weights read in all.
        passes: how often all weights are read through.
    """
    weights = node.inputs[1]
    channels = node.output.shape[-1]
    size = weights.bytes + channels * REQUANTIZE_BYTES
    return _cost.read_waits(device, size, loads=products + 3 * node.output.elements, passes=passes)


def weight_type(node: Node) -> WeightType:
    """The stored type of the weights of a node with inputs x, w, b, which its operator's check holds to."""
    return cast(WeightType, node.inputs[1].dtype)


def weights_constant(values: Array) -> Constant:
    """The weights in the order of `values`, as the portable kernels read them."""
    return Constant("weights", f"{values.dtype.name}_t", values, align=values.itemsize)


def multiply_name(prefix: str, weights: WeightType = "int8") -> str:
    """The name of `multiply_function` without its count."""
    return f"{prefix}_multiply" if weights == "int8" else f"{prefix}_multiply_wide"


def depthwise_name(prefix: str, weights: WeightType = "int8") -> str:
    """The name of `depthwise_function` without its count."""
    return f"{multiply_name(prefix, weights)}_depthwise"


def multiply_function(prefix: str, count: int, weights: WeightType = "int8") -> Function:
    """`count` dot products of the same inputs, over rows of contiguous inputs and weights."""
    return _function("multiply", f"{multiply_name(prefix, weights)}_{count}", prefix, count, weights)


def depthwise_function(prefix: str, count: int, weights: WeightType = "int8") -> Function:
    """`count` neighbouring channels' dot products over a window, each with inputs of its own."""
    return _function("depthwise", f"{depthwise_name(prefix, weights)}_{count}", prefix, count, weights)


def columns_function(prefix: str, count: int) -> Function:
    """A row times `count` neighbouring columns of a matrix."""
    return _function("columns", f"{prefix}_multiply_columns_{count}", prefix, count)


def store_function(prefix: str, node: Node) -> Function:
    """Scales the sums of a node with inputs x, w, b by their channels' multipliers and stores them."""
    _, shifts = requantized_multipliers(node)
    part = "store" if (shifts > 0).any() else "store_right"
    return _function(part, f"{prefix}_{part}", prefix, 0)


def _function(part: str, name: str, prefix: str, count: int, weights: WeightType = "int8") -> Function:
    values = {"part": part, "name": name, "prefix": prefix, "count": count, "weight": f"{weights}_t"}
    return Function(name, render("kernels/_sums.j2", values))
