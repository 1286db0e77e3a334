"""Portable C for LogSoftmax over the last axis; the arithmetic and its proof are in `edgeprune.ops.log_softmax`."""

from __future__ import annotations

from edgeprune.graph.ir import Node
from edgeprune.kernels._rows import RowFamily
from edgeprune.ops.log_softmax import OPERATOR

__all__ = ["FAMILY", "LogSoftmaxPortable"]


class LogSoftmaxPortable(RowFamily):
    """int8 LogSoftmax."""

    name = "log_softmax_s8_c"
    op = "LogSoftmax"
    exponentials_per_element = 1
    code_bytes = 290
    element_instructions = 29
    row_instructions = 232

    def arguments(self, node: Node) -> tuple[int, ...]:
        return (*OPERATOR.multipliers(node), node.output.zero_point)


FAMILY = LogSoftmaxPortable()
