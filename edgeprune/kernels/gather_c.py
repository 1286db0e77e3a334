"""Portable C for Gather: one block copied per index. The index is clamped first, so no id reads outside the table."""

from __future__ import annotations

import math

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "GatherPortable"]

_CYCLES_PER_BLOCK = 40
_CODE_BYTES = 80


class GatherPortable(KernelFamily):
    """Gather of elements of any type, by constant or computed int32 indices."""

    name = "gather_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Gather":
            return ()
        node = nodes[0]
        outer, blocks, _, block_bytes = _blocks(node)
        constants = sum(tensor.bytes for tensor in node.inputs if tensor.value is not None)
        cycles = outer * blocks * (_CYCLES_PER_BLOCK + block_bytes // 2)
        overlap = (None,) * len({tensor.name for tensor in node.inputs if tensor.value is None})
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES + constants, cycles, overlap=overlap),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        data, indices = candidate.nodes[0].inputs
        packed = []
        if data.name in weights:
            packed.append(Constant("table", _C_TYPES[data.dtype], weights[data.name]))
        if indices.name in weights:
            packed.append(Constant("indices", "int32_t", weights[indices.name]))
        return tuple(packed)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        data, indices = node.inputs
        function = self.render(f"{names.prefix}_gather", {"prefix": names.prefix})
        source = names.tensors.get(data.name) or names.constants["table"]
        picked = names.tensors.get(indices.name) or names.constants["indices"]
        numbers = ", ".join(map(str, _blocks(node)))
        return Code(
            (function,), f"{function.name}({source}, {picked}, {names.tensors[node.output.name]}, {numbers});"
        )


_C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t"}


def _blocks(node: Node) -> tuple[int, int, int, int]:
    """How often the indices are run through, how many there are, slices in the table, and bytes of one."""
    (data, indices), axis = node.inputs, node.int("axis")
    inner = math.prod(data.shape[axis + 1 :]) * DTYPES[data.dtype].itemsize
    return math.prod(data.shape[:axis]), indices.elements, data.shape[axis], inner


FAMILY = GatherPortable()
