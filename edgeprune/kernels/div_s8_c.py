"""Portable C for Div of two int8 tensors: one pass, or nested loops where an operand is broadcast.

In place is safe for an operand of the output's own shape, because element i is read before it is written and
never read again; a broadcast operand must be elsewhere.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._loops import elementwise_loops
from edgeprune.kernels._operands import (
    constant_bytes,
    elementwise_overlap,
    operand_constants,
    operand_pointers,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops.div import OPERATOR as DIV
from edgeprune.ops.div import RECIPROCAL_BITS

__all__ = ["FAMILY", "DivPortable"]

_CYCLES_PER_ELEMENT = 70
_CODE_BYTES = 240


class DivPortable(KernelFamily):
    """int8 Div."""

    name = "div_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Div":
            return ()
        flash, cycles = _CODE_BYTES + constant_bytes(nodes[0]), _CYCLES_PER_ELEMENT * nodes[0].output.elements
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=elementwise_overlap(nodes[0])),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return operand_constants(candidate.nodes[0], weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        a, b = operand_pointers(node, names)
        loops = elementwise_loops(node.output, node.inputs)
        stem = f"{names.prefix}_div_" + "x".join(map(str, loops.extents))
        function = self.render(stem, {"prefix": names.prefix, "loops": loops, "bits": RECIPROCAL_BITS})
        numbers = [
            *DIV.multiplier(node),
            *(tensor.zero_point for tensor in (*node.inputs, node.output)),
            *node.ints("clamp"),
        ]
        arguments = ", ".join([a, b, names.tensors[node.output.name], *map(str, numbers)])
        return Code((function,), f"{stem}({arguments});")


FAMILY = DivPortable()
