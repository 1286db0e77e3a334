"""Attention masks become finite.

A mask adds minus infinity, or a very large negative number, to the scores that softmax must ignore. Stored as
int8, such a range would leave no levels for the scores themselves. Twelve below is enough: exp(-12) is six
millionths.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.quantize.rewrites.edit import add_constant, constant_array

__all__ = ["apply"]

_MASKED = -12.0
_AS_GOOD_AS_INFINITE = -1e4


def apply(model: ir.Model) -> None:
    """Raise the very negative entries of constants that an Add brings in before a Softmax."""
    for node in model.graph:
        if node.op_type != "Add" or not any(use.node.op_type == "Softmax" for use in node.outputs[0].uses()):
            continue
        for index, value in enumerate(node.inputs):
            mask = constant_array(value)
            if value is not None and mask is not None and (mask < _AS_GOOD_AS_INFINITE).any():
                finite = np.where(mask < _AS_GOOD_AS_INFINITE, _MASKED, mask).astype(mask.dtype)
                node.replace_input_with(index, add_constant(model.graph, f"{value.name}_finite", finite))
