"""Attention's scale is applied once, to the scores.

The exporter scales queries and keys each by the root of 1/sqrt(d), for the sake of half precision. In int8 each
of these products would be rounded; one product after the MatMul costs one rounding and fewer operations.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.quantize.rewrites.edit import add_constant, constant_array, single_reader

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Move scalar factors of both operands of a MatMul behind it."""
    for node in list(model.graph):
        if node.op_type == "MatMul" and node.domain == "":
            _rewrite(model.graph, node)


def _rewrite(graph: ir.Graph, matmul: ir.Node) -> None:
    scaled = [_scaled(value) for value in matmul.inputs]
    factors = [found for found in scaled if found is not None]
    if len(factors) != 2:
        return
    factor = 1.0
    for index, (product, value, scalar) in enumerate(factors):
        matmul.replace_input_with(index, value)
        graph.remove(product, safe=True)
        factor *= scalar
    scores = matmul.outputs[0]
    constant = add_constant(graph, f"{matmul.name}.scale", np.asarray(factor, np.float32))
    multiply = ir.node("Mul", [scores, constant], name=f"{matmul.name}.scaled")
    multiply.outputs[0].name = f"{scores.name}_scaled"
    multiply.outputs[0].type, multiply.outputs[0].shape = scores.type, scores.shape
    ir.convenience.replace_all_uses_with(scores, multiply.outputs[0], replace_graph_outputs=True)
    multiply.replace_input_with(0, scores)
    graph.insert_after(matmul, multiply)


def _scaled(value: ir.Value | None) -> tuple[ir.Node, ir.Value, float] | None:
    """The Mul, its other operand and its scalar, when `value` is such a product and read by one node only."""
    producer = value.producer() if value is not None else None
    if value is None or producer is None or producer.op_type != "Mul" or single_reader(value) is None:
        return None
    for index in (0, 1):
        scalar, other = constant_array(producer.inputs[index]), producer.inputs[1 - index]
        if scalar is not None and scalar.size == 1 and other is not None and other.const_value is None:
            return producer, other, float(scalar.reshape(()))
    return None
