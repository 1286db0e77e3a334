"""Portable C for Softmax over the last axis; the arithmetic and its proof are in `edgeprune.ops.softmax`."""

from __future__ import annotations

from edgeprune.graph.ir import Node
from edgeprune.kernels._rows import RowFamily
from edgeprune.ops.softmax import OPERATOR

__all__ = ["FAMILY", "SoftmaxPortable"]


class SoftmaxPortable(RowFamily):
    """int8 Softmax."""

    name = "softmax_s8_c"
    op = "Softmax"
    exponentials_per_element = 2
    code_bytes = 370
    element_instructions = 32
    row_instructions = 34

    def arguments(self, node: Node) -> tuple[int, ...]:
        return (*OPERATOR.output_multiplier(node), node.output.zero_point)


FAMILY = SoftmaxPortable()
