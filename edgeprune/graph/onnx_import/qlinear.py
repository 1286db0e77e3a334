"""QLinear operators (ONNX's own and ONNX Runtime's) rewritten to DequantizeLinear, operator, QuantizeLinear.

ONNX defines them to compute just that, so one import path serves both styles.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

__all__ = ["rewrite_qlinear"]

_UNARY = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul", "QLinearMatMul": "MatMul"}
_RUNTIME_ATTRIBUTES = ("channels_last", "opset")

Operand = tuple["ir.Value | None", "ir.Value | None", "ir.Value | None", int]
"""Stored value, scale, zero point, and the axis of the scale where it is per channel."""
Operands = tuple[list[Operand], list["ir.Value | None"]]


def rewrite_qlinear(model: ir.Model) -> None:
    """Replace every QLinear node of `model`, in place."""
    for node in list(model.graph):
        target = _target(node.op_type)
        if target is not None:
            _rewrite(model.graph, node, target)


def _target(op_type: str) -> str | None:
    special = {"QLinearConv": "Conv", "QGemm": "Gemm", "QLinearConcat": "Concat"}
    return {**_UNARY, **_BINARY, **special}.get(op_type)


def _rewrite(graph: ir.Graph, node: ir.Node, target: str) -> None:
    operands, result = _operands(node)
    label = node.name or node.outputs[0].name
    dequantizers: list[ir.Node] = []
    for number, (stored, scale, zero, axis) in enumerate(operands):
        if scale is None:
            scale = _bias_scale(graph, f"{label}_bias_scale", operands)
        along = {"axis": axis} if _size(scale) > 1 else {}
        dequantize = ir.node("DequantizeLinear", [stored, scale, zero], attributes=along)
        dequantize.outputs[0].name = f"{label}_operand_{number}"
        dequantizers.append(dequantize)
    attributes = {key: value for key, value in node.attributes.items() if key not in _RUNTIME_ATTRIBUTES}
    operation = ir.node(target, [d.outputs[0] for d in dequantizers], attributes=attributes, name=node.name)
    operation.outputs[0].name = f"{label}_real"
    quantize = ir.node("QuantizeLinear", [operation.outputs[0], *result])
    graph.insert_before(node, [*dequantizers, operation, quantize])
    old, new = node.outputs[0], quantize.outputs[0]
    old.name, new.name, new.type = f"{old.name}_replaced", old.name, old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _operands(node: ir.Node) -> Operands:
    """How each QLinear operator lists its operands and its result's (scale, zero point)."""
    op_type, v = node.op_type, list(node.inputs)
    if op_type == "QLinearConv":
        bias: list[Operand] = [(v[8], None, None, 0)] if len(v) > 8 and v[8] is not None else []
        return [(v[0], v[1], v[2], 0), (v[3], v[4], v[5], 0), *bias], v[6:8]
    if op_type == "QGemm":
        bias = [(v[6], None, None, 0)] if v[6] is not None else []
        axis = 0 if "transB" in node.attributes and node.attributes["transB"].as_int() else 1
        return [(v[0], v[1], v[2], 0), (v[3], v[4], v[5], axis), *bias], v[7:9]
    if op_type == "QLinearConcat":
        return [(v[i], v[i + 1], v[i + 2], 0) for i in range(2, len(v), 3)], v[0:2]
    if op_type in _BINARY:
        axis = 1 if op_type == "QLinearMatMul" else 0
        return [(v[0], v[1], v[2], 0), (v[3], v[4], v[5], axis)], v[6:8]
    return [(v[0], v[1], v[2], 0)], v[3:5]


def _size(value: ir.Value | None) -> int:
    return (
        int(np.size(value.const_value.numpy())) if value is not None and value.const_value is not None else 1
    )


def _bias_scale(graph: ir.Graph, name: str, operands: list[Operand]) -> ir.Value:
    """The bias's implied scale, input scale * weight scale, as a new constant."""
    factors = [scale.const_value.numpy() for _, scale, _, _ in operands[:2]]  # type: ignore[union-attr]
    scale = np.asarray(factors[0].astype(np.float64) * factors[1], np.float32)
    value = ir.val(name, const_value=ir.tensor(scale, name=name))
    value.shape, value.type = ir.Shape(scale.shape), ir.TensorType(ir.DataType.FLOAT)
    graph.register_initializer(value)
    return value
