"""Portable C for Slice, Transpose and Expand of any element type: nested loops around copies of whole runs.

In place is safe for a Slice whose steps are positive: output element o comes from input element i(o) >= o with
i increasing, so whatever is written has been read already, wherever the input starts at or above the output.
memmove serves the runs, because a run and its source may overlap. A Transpose that only moves axes of one
element is one run.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.kernels._strided import ELEMENT_TYPES, copy_of, move_statement
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames

__all__ = ["FAMILY", "CopyPortable"]

_CODE_BYTES = 40
_LOOP_BYTES = 16


class CopyPortable(KernelFamily):
    """Slice, Transpose and Expand."""

    name = "copy_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        copy = copy_of(nodes[0]) if len(nodes) == 1 else None
        if copy is None:
            return ()
        overlap = (0 if _in_place(nodes[0]) else None,)
        flash = _CODE_BYTES + _LOOP_BYTES * len(copy.extents)
        cycles = copy.cycles(DTYPES[nodes[0].output.dtype].itemsize)
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=overlap),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        copy = copy_of(node)
        assert copy is not None
        if not copy.extents and not copy.offset:
            return Code((), move_statement(x, y, node.output))
        move = "memmove" if _in_place(node) else "memcpy"
        ctype = ELEMENT_TYPES[node.output.dtype]
        stem = f"{names.prefix}_copy_{copy.name}"
        function = self.render(stem, {"copy": copy, "ctype": ctype, "move": move})
        return Code((function,), f"{stem}({x}, {y});")


def _in_place(node: Node) -> bool:
    if node.op == "Slice":
        return min(node.ints("steps")) > 0
    copy = copy_of(node)
    assert copy is not None
    return not copy.extents


FAMILY = CopyPortable()
