"""Portable C for MatMul of two int8 tensors: one row of the left, four columns of the right at a time."""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Tensor
from edgeprune.kernels import _cost
from edgeprune.kernels._loops import elementwise_loops
from edgeprune.kernels._operands import constant_bytes, operand_constants, operand_pointers
from edgeprune.kernels._requantization import REQUANTIZE_INSTRUCTIONS
from edgeprune.kernels._sums import (
    block_sizes,
    columns_function,
    multiply_function,
    sum_cycles,
    sum_instructions,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops.matmul import OPERATOR as MATMUL

__all__ = ["FAMILY", "MatMulPortable"]

_CODE_BYTES = 280


class MatMulPortable(KernelFamily):
    """int8 MatMul."""

    name = "matmul_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "MatMul":
            return ()
        node = nodes[0]
        flash = _CODE_BYTES + constant_bytes(node)
        rows, columns = node.output.elements // node.output.shape[-1], node.output.shape[-1]
        depth = node.inputs[0].shape[-1]
        sums, others = sum_instructions(columns, depth, 1, 1), 5 * depth + REQUANTIZE_INSTRUCTIONS * columns
        cycles = round(
            sum_cycles(device, sums, others, rows)
            + _cost.code_waits(device, _CODE_BYTES)
            + _cost.read_waits(
                device, constant_bytes(node), loads=rows * columns * depth, passes=node.output.shape[-2]
            )
        )
        inputs = {tensor.name for tensor in node.inputs if tensor.value is None}
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(None,) * len(inputs)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return operand_constants(candidate.nodes[0], weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        rows, columns = node.output.shape[-2:]
        depth = node.inputs[0].shape[-1]
        loops = elementwise_loops(_leading(node.output), [_leading(tensor) for tensor in node.inputs])
        values = {
            "prefix": names.prefix,
            "loops": loops,
            "rows": rows,
            "depth": depth,
            "columns": columns,
            "transposed": bool(node.int("transpose_b")),
        }
        stem = f"{names.prefix}_matmul_{rows}x{depth}_{depth}x{columns}"
        numbers = [
            *MATMUL.multiplier(node),
            *(tensor.zero_point for tensor in (*node.inputs, node.output)),
            *node.ints("clamp"),
        ]
        arguments = [*operand_pointers(node, names), names.tensors[node.output.name], *map(str, numbers)]
        sum_function = multiply_function if node.int("transpose_b") else columns_function
        sums = [sum_function(names.prefix, count) for count in block_sizes(columns)]
        return Code((*sums, self.render(stem, values)), f"{stem}({', '.join(arguments)});")


def _leading(tensor: Tensor) -> Tensor:
    """A tensor of the axes before the matrices, to count matrices by."""
    return Tensor(tensor.name, tensor.shape[:-2], tensor.dtype)


FAMILY = MatMulPortable()
