"""Elementwise sums of two tensors: what Add and Sub share.

Definition on stored integers, for scales sa, sb, sy and zero points za, zb, zy:

    y = clamp(zy + ((a - za) * ma + (b - zb) * mb + 2**(s - 1) >> s))

where ma, mb = round(sa / sy * 2**s), round(+-sb / sy * 2**s), and s is the largest shift up to 30 at which
both magnitudes stay below 2**21. With |a - za| <= 255 the sum stays below 2 * 255 * 2**21 + 2**29 < 2**31, so
int32 is enough. A multiplier is off by half at most, hence the sum by 255 / 2**s output steps: below 1/4 for
operand scales up to 2**11 times the output's, beyond which nearly every output saturates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops._operands import check_binary, int8_operand
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["Additive", "SumArithmetic"]

_MULTIPLIER_LIMIT = 1 << 21


@dataclass(frozen=True)
class SumArithmetic:
    """The integers a kernel needs: multipliers of both operands, their shift, zero points and clamp."""

    multiplier_a: int
    multiplier_b: int
    shift: int
    zero_a: int
    zero_b: int
    zero_y: int
    low: int
    high: int


class Additive(Operator):
    """a + sign * b."""

    quantizes_constants = True
    is_elementwise = True
    sign: ClassVar[int]

    def lower(self, node: OnnxNode, build: Builder) -> None:
        operands = [int8_operand(node, index, build) for index in (0, 1)]
        build.add(self.name, node.name, operands, node.outputs, {"clamp": (-128, 127)})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        return (tuple(np.broadcast_shapes(node.inputs[0].shape, node.inputs[1].shape)),)

    def arithmetic(self, node: Node) -> SumArithmetic:
        """The integers that define this node."""
        a, b, y = node.inputs[0], node.inputs[1], node.output
        ratios = (a.scale / y.scale, self.sign * b.scale / y.scale)
        shift = 30
        while shift > 0 and max(abs(round(ratio * (1 << shift))) for ratio in ratios) >= _MULTIPLIER_LIMIT:
            shift -= 1
        ma, mb = (round(ratio * (1 << shift)) for ratio in ratios)
        low, high = node.ints("clamp")
        return SumArithmetic(ma, mb, shift, a.zero_point, b.zero_point, y.zero_point, low, high)

    def check(self, node: Node) -> None:
        check_binary(node)
        arithmetic = self.arithmetic(node)
        if max(abs(arithmetic.multiplier_a), abs(arithmetic.multiplier_b)) >= _MULTIPLIER_LIMIT:
            raise ValueError("an operand's scale is more than 2**21 times the output's")

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return node.attrs

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        p = self.arithmetic(node)
        a, b = (value.astype(np.int64) for value in inputs)
        total = (a - p.zero_a) * p.multiplier_a + (b - p.zero_b) * p.multiplier_b
        rounded = (total + ((1 << p.shift) >> 1)) >> p.shift
        return (clamp_int8(rounded + p.zero_y, p.low, p.high),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (inputs[0] + self.sign * inputs[1],)
