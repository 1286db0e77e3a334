"""Portable C for ONNX's CumSum in float32 and int32, which TVM leaves to its runtime: one addition an element.

Operator CumSum-14: along `axis`, a constant, each result is the sum of the elements up to its own, without it where
`exclusive`, from the end where `reverse`. Integers wrap, as ONNX Runtime's do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._cost import Kind
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._onnx_model import node_proto

__all__ = ["FAMILY", "CumSum"]

_INSTRUCTIONS, _PER_ROW, _CODE_BYTES = 7.0, 12.0, 80
_TYPES = ("float32", "int32")


@dataclass(frozen=True)
class _Sums:
    """`rows` of sums of `count` elements that are `stride` apart."""

    rows: int
    count: int
    stride: int
    exclusive: bool
    reverse: bool


class CumSum(KernelFamily):
    """Running sums."""

    name = "cumsum_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        sums = _sums(nodes[0]) if len(nodes) == 1 else None
        if sums is None:
            return ()
        instructions = sums.rows * (_PER_ROW + sums.count * _INSTRUCTIONS)
        cycles = round(_cost.cycles(device, {Kind.SCALAR: instructions}))
        return (Candidate(self.name, f"cumsum_{nodes[0].output.dtype}_c", nodes, _CODE_BYTES, cycles),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return ()

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        sums = _sums(node)
        assert sums is not None
        integer = node.output.dtype == "int32"
        values = {
            "type": f"{names.prefix}_{'i32' if integer else 'f32'}_t",
            "total": "uint32_t" if integer else "float",
            "sums": sums,
            "integer": integer,
        }
        function = self.render(f"{names.prefix}_cumsum_{sums.count}", values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        return Code((function,), f"{function.name}({x}, {y});")


def _sums(node: Node) -> _Sums | None:
    """What `node` adds; None where it is another operator, of another type, or its axis depends on data."""
    if node.op != "Onnx" or node.attrs["type"] != "CumSum" or node.output.dtype not in _TYPES:
        return None
    x, axis = node.inputs
    if x.value is not None or axis.value is None:
        return None
    attributes = {one.name: one.i for one in node_proto(node).attribute}
    position = int(axis.value.item()) % len(x.shape)
    stride = math.prod(x.shape[position + 1 :])
    count = x.shape[position]
    rows = x.elements // count
    return _Sums(rows, count, stride, bool(attributes.get("exclusive")), bool(attributes.get("reverse")))


FAMILY = CumSum()
