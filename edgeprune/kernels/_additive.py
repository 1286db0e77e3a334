"""Sums of two operands as one multiplication each and one constant: y = (a * ma + b * mb + constant) >> shift."""

from __future__ import annotations

from edgeprune.graph.ir import Node
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive, SumArithmetic

__all__ = ["sum_arithmetic", "sum_constant"]


def sum_arithmetic(node: Node) -> SumArithmetic:
    """Multipliers, shift and zero points of an Add or Sub."""
    operator = operator_for(node)
    assert isinstance(operator, Additive)
    return operator.arithmetic(node)


def sum_constant(p: SumArithmetic) -> int | None:
    """What is added to a * ma + b * mb before the shift; None where the result might leave int32."""
    rounding = (1 << p.shift) >> 1
    constant = rounding + (p.zero_y << p.shift) - p.zero_a * p.multiplier_a - p.zero_b * p.multiplier_b
    products = [sorted((-128 * m, 127 * m)) for m in (p.multiplier_a, p.multiplier_b)]
    low, high = (constant + sum(ends) for ends in zip(*products, strict=True))
    fits = all(-(1 << 31) < value < 1 << 31 for value in (constant, low, high))
    return constant if fits else None
