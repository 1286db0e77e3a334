"""Add and Sub of int8 tensors of one shape for cores with Helium: four elements at a time, the rest by predication.

Zero points, rounding and the output's zero point, shifted up, are one constant:

    y = clamp((a * ma + b * mb + constant) >> shift)

which is the definition in `ops._arithmetic`, since (value >> s) + zero = (value + zero * 2**s) >> s. The sum may wrap
on the way, not at the end: `sum_constant` proves that it is within int32 for all inputs, or the family refuses.

In place is safe for either operand, because four elements are read before they are written.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._additive import sum_arithmetic, sum_constant
from edgeprune.kernels._mve_cost import Work, cycles
from edgeprune.kernels._operands import (
    constant_bytes,
    elementwise_overlap,
    operand_constants,
    operand_pointers,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive

__all__ = ["CODE_BYTES", "FAMILY", "AddMve", "sum_work"]

CODE_BYTES = 120


class AddMve(KernelFamily):
    """int8 Add and Sub without broadcasting."""

    name = "add_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or not isinstance(operator_for(nodes[0]), Additive):
            return ()
        (node,) = nodes
        broadcasts = any(operand.elements != node.output.elements for operand in node.inputs)
        if broadcasts or sum_constant(sum_arithmetic(node)) is None:
            return ()
        constants = constant_bytes(node)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=CODE_BYTES + constants,
                cycles=cycles(
                    device,
                    sum_work(node.output.elements, calls=1),
                    code_bytes=CODE_BYTES,
                    constants=constants,
                ),
                overlap=elementwise_overlap(node),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return operand_constants(candidate.nodes[0], weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        p = sum_arithmetic(node)
        function = self.vector_sum(node, names.prefix)
        numbers = (node.output.elements, p.multiplier_a, p.multiplier_b, sum_constant(p), p.low, p.high)
        operands = (*operand_pointers(node, names), names.tensors[node.output.name])
        return Code((function,), f"{function.name}({', '.join(map(str, (*operands, *numbers)))});")

    def vector_sum(self, node: Node, prefix: str) -> Function:
        """The function of the sum `node`, of any length."""
        shift = sum_arithmetic(node).shift
        return self.render(f"{prefix}_mve_add_shift{shift}", {"prefix": prefix, "shift": shift})


def sum_work(elements: int, calls: int) -> Work:
    """Of so many sums, made in so many calls."""
    return -(-elements // 4) * Work(_VECTOR_CYCLES) + calls * Work(scalar=25)


_VECTOR_CYCLES = 12
"""Of four elements."""


FAMILY = AddMve()
