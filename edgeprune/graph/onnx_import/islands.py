"""Islands of float32 in an int8 graph: operators that have no integer form, between conversions.

What an island reads from int8 is dequantised, and what is stored as int8 again is quantised, each by ONNX's own
operator; real numbers between two operators of an island stay real.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Tensor
from edgeprune.graph.onnx_import.onnx_nodes import add_onnx_node, kept_outputs
from edgeprune.ops._onnx_model import STORED
from edgeprune.ops._values import real_value

__all__ = ["add_island", "can_be_island", "stored_dtype"]

_FLOAT, _INT8 = int(ir.DataType.FLOAT), int(ir.DataType.INT8)
_KEPT = (ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.BOOL)


def can_be_island(node: ir.Node) -> bool:
    """Whether `node` is one of ONNX's own, without a body, on numbers that an island can hold."""
    nested = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    return (
        node.domain in ("", "ai.onnx")
        and all(attribute.type not in nested for attribute in node.attributes.values())
        and all(value.dtype in _KEPT for value in values)
    )


def add_island(
    build: Builder, node: ir.Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], opset: int
) -> None:
    """Append `node` on real numbers, with the conversions that it needs.

    Args:
        build: What collects the nodes.
        node: The ONNX node.
        inputs: What the graph stores for each operand; None where it is absent.
        outputs: What it is to store for each of `kept_outputs`.
        opset: The version of ONNX's operators.
    """
    label = node.name or node.outputs[0].name or node.op_type
    present = [(v, t) for v, t in zip(node.inputs, inputs, strict=True) if v is not None and t is not None]
    operands = [_real(build, tensor, label, opset) for _, tensor in present]
    results = [
        tensor if tensor.quant is None else build.tensor(f"{tensor.name}_real", tensor.shape, "float32", None)
        for tensor in outputs
    ]
    kept = kept_outputs(node, opset)
    types = [
        _FLOAT if tensor.dtype == "float32" else int(value.dtype or 0)
        for (value, _), tensor in zip(present, operands, strict=True)
    ]
    types += [int(value.dtype or 0) for value in kept]
    add_onnx_node(build, node, label, (operands, results), types, opset)
    for real, stored in zip(results, outputs, strict=True):
        if real is not stored:
            _convert(build, "QuantizeLinear", label, (real, stored), opset)


def stored_dtype(value: ir.Value) -> str:
    """How the graph stores a value of an island that has no scale."""
    assert value.dtype is not None
    name = value.dtype.numpy().name
    return STORED.get(name, name)


def _real(build: Builder, tensor: Tensor, label: str, opset: int) -> Tensor:
    """What an island reads for `tensor`: its real numbers, or itself where it has no scale."""
    if tensor.quant is None:
        return tensor
    if tensor.value is not None:
        return build.constant(f"{tensor.name}_real", real_value(tensor).astype(np.float32))
    real = build.tensor(f"{tensor.name}_real", tensor.shape, "float32", None)
    _convert(build, "DequantizeLinear", label, (tensor, real), opset)
    return real


def _convert(build: Builder, kind: str, label: str, ends: tuple[Tensor, Tensor], opset: int) -> None:
    """A conversion between the `ends`, of which one is stored as int8; it goes by the name of its island."""
    source, result = ends
    stored = source if kind == "DequantizeLinear" else result
    scale = build.constant(f"{stored.name}_scale", np.array(stored.scale, np.float32))
    zero = build.constant(f"{stored.name}_zero_point", np.array(stored.zero_point, np.int8))
    types = (_INT8, _FLOAT, _INT8, _FLOAT) if kind == "DequantizeLinear" else (_FLOAT, _FLOAT, _INT8, _INT8)
    node = ir.node(kind, [ir.val("x"), ir.val("scale"), ir.val("zero_point")], num_outputs=1)
    node.outputs[0].name = "y"
    add_onnx_node(build, node, label, ((source, scale, zero), (result,)), types, opset)
