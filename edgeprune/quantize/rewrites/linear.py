"""A linear layer becomes one Gemm with its bias.

torch's linear on more than two dimensions is exported as MatMul and Add. Kept apart, the sum before the bias
would be rounded to 8 bits; as a Gemm between two reshapes, which move nothing, the bias joins the accumulator.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from edgeprune.quantize.rewrites.edit import constant_array, replace_node, reshaped, shape_of, single_reader

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Rewrite every MatMul by a constant matrix that is followed by the Add of a constant vector."""
    for node in list(model.graph):
        if node.op_type == "MatMul" and node.domain == "":
            _rewrite(model.graph, node)


def _rewrite(graph: ir.Graph, matmul: ir.Node) -> None:
    weight = constant_array(matmul.inputs[1])
    source, shape = matmul.inputs[0], shape_of(matmul.inputs[0])
    if weight is None or weight.ndim != 2 or source is None or source.const_value is not None or not shape:
        return
    add = single_reader(matmul.outputs[0])
    if add is None or add.op_type != "Add" or len(shape) < 2:
        return
    other = next((value for value in add.inputs if value is not matmul.outputs[0]), None)
    bias = constant_array(other)
    if other is None or bias is None or bias.shape != (weight.shape[1],):
        return
    name = matmul.name or "linear"
    rows = reshaped(graph, source, (math.prod(shape[:-1]), shape[-1]), f"{name}.rows")
    gemm = ir.node(
        "Gemm", [rows.outputs[0] if len(shape) > 2 else source, matmul.inputs[1], other], name=name
    )
    gemm.metadata_props.update(matmul.metadata_props)
    gemm.outputs[0].name = f"{name}_output"
    gemm.outputs[0].type = source.type
    if len(shape) == 2:
        replace_node(graph, [matmul, add], [gemm])
        return
    result = (*shape[:-1], weight.shape[1])
    replace_node(
        graph, [matmul, add], [rows, gemm, reshaped(graph, gemm.outputs[0], result, f"{name}.columns")]
    )
