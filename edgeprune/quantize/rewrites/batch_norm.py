"""Batch normalisation is folded into the layer before it, or becomes a depthwise 1x1 convolution.

In inference it is a scale and a shift per channel. Behind a convolution or a linear layer that no one else
reads, these multiply its weights and join its bias; the layer keeps its name. Anywhere else the scale and shift
are what a depthwise 1x1 convolution computes, with int8 weights per channel.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeprune.graph.ir import Array
from edgeprune.quantize.operators import int_attribute
from edgeprune.quantize.rewrites.edit import (
    add_constant,
    constant_array,
    replace_node,
    reshaped,
    shape_of,
    single_reader,
)

__all__ = ["apply"]


def apply(model: ir.Model) -> None:
    """Rewrite every BatchNormalization in inference form with constant parameters."""
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or any(output.uses() for output in node.outputs[1:]):
            continue
        affine = _affine(node)
        if affine is None:
            continue
        for output in node.outputs[1:]:
            output.name = ""
        if not _fold(model.graph, node, *affine):
            _to_depthwise(model.graph, node, *affine)


def _affine(node: ir.Node) -> tuple[Array, Array] | None:
    """Factor and shift per channel, float64; None when a parameter is computed."""
    parameters = [constant_array(value) for value in node.inputs[1:5]]
    if any(parameter is None for parameter in parameters):
        return None
    gamma, beta, mean, variance = (np.asarray(parameter, np.float64) for parameter in parameters)
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    factor = gamma / np.sqrt(variance + epsilon)
    return factor, beta - mean * factor


def _fold(graph: ir.Graph, node: ir.Node, factor: Array, shift: Array) -> bool:
    """Multiply into the producing layer's constants; False when there is no such layer."""
    source = node.inputs[0]
    layer = source.producer() if source is not None else None
    if source is None or layer is None or single_reader(source) is not node:
        return False
    weight = constant_array(layer.inputs[1]) if len(layer.inputs) > 1 else None
    bias_value = layer.inputs[2] if len(layer.inputs) > 2 else None
    bias = constant_array(bias_value) if bias_value is not None else np.zeros(len(factor))
    if layer.op_type not in ("Conv", "ConvTranspose", "Gemm") or weight is None or bias is None:
        return False
    if any(key in layer.attributes for key in ("alpha", "beta")):
        return False
    label = _names(layer)
    scaled = add_constant(graph, f"{label[0]}_folded", _scaled(layer, weight, factor).astype(np.float32))
    moved = np.broadcast_to(np.ravel(bias), factor.shape) * factor + shift
    layer.replace_input_with(1, scaled)
    if len(layer.inputs) < 3:
        layer.resize_inputs(3)
    layer.replace_input_with(2, add_constant(graph, f"{label[1]}_folded", moved.astype(np.float32)))
    result = node.outputs[0]
    name = result.name
    result.name = f"{name}_folded"
    ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    source.name = name
    return True


def _names(layer: ir.Node) -> tuple[str, str]:
    """Names of the layer's weight and bias."""
    weight = layer.inputs[1].name if layer.inputs[1] is not None else None
    bias = layer.inputs[2].name if len(layer.inputs) > 2 and layer.inputs[2] is not None else None
    return weight or f"{layer.name}.weight", bias or f"{layer.name}.bias"


def _scaled(layer: ir.Node, weight: Array, factor: Array) -> Array:
    """The weight with each output channel multiplied by its factor."""
    if (
        layer.op_type == "ConvTranspose"
    ):  # [in, out / group, ...]: group g's inputs hold outputs g * out / group ...
        groups = int_attribute(layer, "group", 1)
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:]).astype(np.float64)
        split *= factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
        return split.reshape(weight.shape)
    by_column = layer.op_type == "Gemm" and not int_attribute(layer, "transB", 0)
    axis = 1 if by_column else 0
    return weight * factor.reshape([-1 if other == axis else 1 for other in range(weight.ndim)])


def _to_depthwise(graph: ir.Graph, node: ir.Node, factor: Array, shift: Array) -> None:
    source, shape = node.inputs[0], shape_of(node.inputs[0])
    if source is None or shape is None or len(shape) not in (2, 3, 4):
        return
    channels, spatial = shape[1], max(len(shape) - 2, 1)
    kernel = factor.astype(np.float32).reshape(channels, *[1] * (spatial + 1))
    weight = add_constant(graph, f"{node.name}.weight", kernel)
    bias = add_constant(graph, f"{node.name}.bias", shift.astype(np.float32))
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
    if widen is None:
        replace_node(graph, [node], [conv])
    else:
        narrow = reshaped(graph, conv.outputs[0], shape, f"{node.name}.narrow")
        replace_node(graph, [node], [widen, conv, narrow])
