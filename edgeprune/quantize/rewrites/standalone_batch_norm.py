"""A batch normalisation that no convolution precedes becomes a depthwise 1x1 convolution.

It is a scale and a shift per channel, which is what that convolution computes, with int8 weights per channel.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.quantize.rewrites.edit import add_constant, constant_array, replace_node, reshaped, shape_of

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Rewrite every BatchNormalization with constant parameters on [N, C], [N, C, L] or [N, C, H, W]."""
    for node in list(model.graph):
        if node.op_type == "BatchNormalization":
            _rewrite(model.graph, node)


def _rewrite(graph: ir.Graph, node: ir.Node) -> None:
    parameters = [constant_array(value) for value in node.inputs[1:5]]
    source, shape = node.inputs[0], shape_of(node.inputs[0])
    used = [output for output in node.outputs[1:] if output.uses()]
    if source is None or shape is None or len(shape) not in (2, 3, 4) or used:
        return
    gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parameters if p is not None)
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    factor = gamma / np.sqrt(variance + epsilon)
    channels, spatial = shape[1], max(len(shape) - 2, 1)
    weight = add_constant(
        graph, f"{node.name}.weight", factor.astype(np.float32).reshape(channels, *[1] * (spatial + 1))
    )
    bias = add_constant(graph, f"{node.name}.bias", (beta - mean * factor).astype(np.float32))
    widen = reshaped(graph, source, (*shape, 1), f"{node.name}.widen") if len(shape) == 2 else None
    conv = ir.node(
        "Conv",
        [widen.outputs[0] if widen else source, weight, bias],
        attributes={"group": channels, "kernel_shape": [1] * spatial},
        name=node.name,
    )
    conv.metadata_props.update(node.metadata_props)
    conv.outputs[0].name = f"{node.name}_output"
    conv.outputs[0].type = source.type
    for output in node.outputs[1:]:
        output.name = ""
    if widen is None:
        replace_node(graph, [node], [conv])
    else:
        replace_node(
            graph, [node], [widen, conv, reshaped(graph, conv.outputs[0], shape, f"{node.name}.narrow")]
        )
