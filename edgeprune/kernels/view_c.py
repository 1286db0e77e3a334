"""Reshape and other views: nothing where the plan lets the output share the input's storage, else a move."""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._strided import move_statement
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops import operator_for

__all__ = ["FAMILY", "View"]


class View(KernelFamily):
    """Operators whose output is the input's bytes under another shape."""

    name = "view_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or not operator_for(nodes[0]).is_view:
            return ()
        return (Candidate(self.name, self.name, nodes, flash_bytes=0, cycles=0, overlap=(0,)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        x, y = candidate.nodes[0].inputs[0], candidate.nodes[0].output
        return Code((), move_statement(names.tensors[x.name], names.tensors[y.name], y))


FAMILY = View()
