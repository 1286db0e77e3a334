"""Portable C for Concat of any element type: one run of each operand in turn, for every outer index."""

from __future__ import annotations

import math

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.kernels._strided import ELEMENT_TYPES
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "ConcatPortable"]

_CODE_BYTES, _OPERAND_BYTES = 24, 20
_CYCLES_PER_RUN, _CYCLES_PER_WORD = 28, 3


class ConcatPortable(KernelFamily):
    """Concat; constant operands are kept in flash."""

    name = "concat_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Concat":
            return ()
        node = nodes[0]
        outer, runs = _runs(node)
        words = sum(-(-run * DTYPES[node.output.dtype].itemsize // 4) for run in runs)
        cycles = outer * (_CYCLES_PER_RUN * len(runs) + _CYCLES_PER_WORD * words)
        constants = sum(tensor.bytes for tensor in node.inputs if tensor.value is not None)
        flash = _CODE_BYTES + _OPERAND_BYTES * len(runs) + constants
        activations = dict.fromkeys(tensor.name for tensor in node.inputs if tensor.value is None)
        overlap = (None,) * len(activations)
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=overlap),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        return tuple(
            Constant(f"operand_{i}", ELEMENT_TYPES[tensor.dtype], weights[tensor.name])
            for i, tensor in enumerate(node.inputs)
            if tensor.name in weights
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        outer, runs = _runs(node)
        operands = [
            names.tensors.get(t.name) or names.constants[f"operand_{i}"] for i, t in enumerate(node.inputs)
        ]
        stem = f"{names.prefix}_concat_{outer}x" + "_".join(map(str, runs))
        ctype = ELEMENT_TYPES[node.output.dtype]
        function = self.render(stem, {"outer": outer, "runs": runs, "ctype": ctype})
        return Code((function,), f"{stem}({', '.join(operands)}, {names.tensors[node.output.name]});")


def _runs(node: Node) -> tuple[int, tuple[int, ...]]:
    """The number of outer indices, and the elements each operand gives to one of them."""
    axis = node.int("axis")
    outer = math.prod(node.output.shape[:axis])
    return outer, tuple(tensor.elements // outer for tensor in node.inputs)


FAMILY = ConcatPortable()
