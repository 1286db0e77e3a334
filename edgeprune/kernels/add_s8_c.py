"""Portable C for Add and Sub of int8 tensors: one pass, or nested loops where an operand is broadcast.

In place is safe for an operand of the output's own shape, because element i is read before it is written and
never read again; a broadcast operand must be elsewhere.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._loops import elementwise_loops
from edgeprune.kernels._operands import (
    constant_bytes,
    elementwise_overlap,
    operand_constants,
    operand_pointers,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive

__all__ = ["FAMILY", "INSTRUCTIONS_PER_ELEMENT", "PARAMETERS", "AddPortable", "numbers"]

INSTRUCTIONS_PER_ELEMENT = 16
PARAMETERS = ("multiplier_a", "multiplier_b", "shift", "zero_a", "zero_b", "zero_y", "low", "high")
"""Of the function, after its operands and its output; `numbers` gives their values."""
_CODE_BYTES = 120


class AddPortable(KernelFamily):
    """int8 Add and Sub."""

    name = "add_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or not isinstance(operator_for(nodes[0]), Additive):
            return ()
        elements, constants = nodes[0].output.elements, constant_bytes(nodes[0])
        flash = _CODE_BYTES + constants
        cycles = round(
            _cost.cycles(device, {_cost.Kind.STREAM: INSTRUCTIONS_PER_ELEMENT * elements})
            + _cost.code_waits(device, _CODE_BYTES)
            + _cost.read_waits(device, constants, loads=elements)
        )
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=elementwise_overlap(nodes[0])),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return operand_constants(candidate.nodes[0], weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        a, b = operand_pointers(node, names)
        loops = elementwise_loops(node.output, node.inputs)
        stem = f"{names.prefix}_add_" + "x".join(map(str, loops.extents))
        function = self.render(stem, {"loops": loops})
        arguments = ", ".join([a, b, names.tensors[node.output.name], *map(str, numbers(node))])
        return Code((function,), f"{stem}({arguments});")


def numbers(node: Node) -> tuple[int, ...]:
    """The integers that define `node`, an Add or Sub, in the order of `PARAMETERS`."""
    operator = operator_for(node)
    assert isinstance(operator, Additive)
    p = operator.arithmetic(node)
    return (p.multiplier_a, p.multiplier_b, p.shift, p.zero_a, p.zero_b, p.zero_y, p.low, p.high)


FAMILY = AddPortable()
