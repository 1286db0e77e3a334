"""A Gemm's alpha and beta move into its constants, and its bias becomes a vector."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.quantize.operators import int_attribute
from edgeprune.quantize.rewrites.edit import add_constant, constant_array

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Rewrite every Gemm whose weight and bias are constants, where the bias is one value per column."""
    for node in model.graph:
        if node.op_type == "Gemm":
            _rewrite(model.graph, node)


def _rewrite(graph: ir.Graph, node: ir.Node) -> None:
    weight_value = node.inputs[1]
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    weight, bias = constant_array(weight_value), constant_array(bias_value)
    if weight is None or weight_value is None or (bias_value is not None and bias is None):
        return
    columns = weight.shape[0 if int_attribute(node, "transB", 0) else 1]
    if bias is not None and bias.size not in (1, columns):
        return
    alpha, beta = _pop_float(node, "alpha"), _pop_float(node, "beta")
    if alpha != 1.0:
        scaled = (weight * np.float64(alpha)).astype(weight.dtype)
        node.replace_input_with(1, add_constant(graph, f"{weight_value.name}_scaled", scaled))
    if bias is not None and bias_value is not None and (beta != 1.0 or bias.shape != (columns,)):
        vector = np.broadcast_to(np.ravel(bias) * np.float64(beta), (columns,)).astype(bias.dtype)
        node.replace_input_with(2, add_constant(graph, f"{bias_value.name}_vector", vector))


def _pop_float(node: ir.Node, name: str) -> float:
    attribute = node.attributes.pop(name, None)
    return 1.0 if attribute is None else attribute.as_float()
