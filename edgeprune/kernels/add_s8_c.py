"""Portable C for Add and Sub of int8 tensors: one pass, or nested loops where an operand is broadcast.

In place is safe for an operand of the output's own shape, because element i is read before it is written and
never read again; a broadcast operand must be elsewhere.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Tensor
from edgeprune.kernels._loops import elementwise_loops
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._arithmetic import Additive

__all__ = ["FAMILY", "AddPortable"]

_CYCLES_PER_ELEMENT = 14
_CODE_BYTES = 120


class AddPortable(KernelFamily):
    """int8 Add and Sub."""

    name = "add_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or not isinstance(operator_for(nodes[0]), Additive):
            return ()
        node = nodes[0]
        overlap = tuple(0 if tensor.shape == node.output.shape else None for tensor in _activations(node))
        constants = sum(tensor.bytes for tensor in node.inputs if tensor.value is not None)
        cycles = _CYCLES_PER_ELEMENT * node.output.elements
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES + constants, cycles, overlap=overlap),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        return tuple(
            Constant(f"operand_{i}", "int8_t", weights[tensor.name])
            for i, tensor in enumerate(node.inputs)
            if tensor.name in weights
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        operator = operator_for(node)
        assert isinstance(operator, Additive)
        a, b = (
            names.tensors.get(t.name) or names.constants[f"operand_{i}"] for i, t in enumerate(node.inputs)
        )
        loops = elementwise_loops(node.output, node.inputs)
        stem = f"{names.prefix}_add_" + "x".join(map(str, loops.extents))
        function = self.render(stem, {"loops": loops})
        p = operator.arithmetic(node)
        numbers = f"{p.multiplier_a}, {p.multiplier_b}, {p.shift}, {p.zero_a}, {p.zero_b}, {p.zero_y}, {p.low}, {p.high}"
        return Code((function,), f"{stem}({a}, {b}, {names.tensors[node.output.name]}, {numbers});")


def _activations(node: Node) -> tuple[Tensor, ...]:
    return tuple({t.name: t for t in node.inputs if t.value is None}.values())


FAMILY = AddPortable()
