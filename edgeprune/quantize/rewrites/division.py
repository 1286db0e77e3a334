"""Division by a constant becomes multiplication by its reciprocal."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.quantize.operators import is_float
from edgeprune.quantize.rewrites.edit import add_constant, constant_array, replace_node

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Rewrite every Div of real numbers whose divisor is a constant without zeros."""
    for node in list(model.graph):
        divisor = constant_array(node.inputs[1]) if node.op_type == "Div" else None
        dividend = node.inputs[0] if node.inputs else None
        if divisor is None or dividend is None or not is_float(node.outputs[0]) or not divisor.all():
            continue
        reciprocal = add_constant(
            model.graph, f"{node.name}.reciprocal", np.asarray(1 / divisor, divisor.dtype)
        )
        multiply = ir.node("Mul", [dividend, reciprocal], name=node.name)
        multiply.metadata_props.update(node.metadata_props)
        multiply.outputs[0].name = f"{node.name}_output"
        replace_node(model.graph, [node], [multiply])
