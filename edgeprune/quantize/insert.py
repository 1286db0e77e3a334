"""Writing the QDQ model: QuantizeLinear and DequantizeLinear after every activation and before every constant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgeprune.graph.ir import Array, Quant
from edgeprune.quantize.operators import activation_inputs, bias_input, constant_of, weight_inputs
from edgeprune.quantize.rewrites.edit import add_constant
from edgeprune.quantize.weights import (
    channel_scales,
    quantize_bias,
    quantize_weight,
    widen_for_bias,
)

__all__ = ["insert_qdq"]


def insert_qdq(model: ir.Model, quants: Mapping[str, Quant], clamps: Mapping[str, str]) -> ir.Model:
    """A copy of float `model` with every value quantised.

    Args:
        model: The float model in the form of `normalize`.
        quants: Parameters of each float activation, by name.
        clamps: Names of the Relu and Clip nodes to leave out, since saturation performs them, each with the name
            of its input, which is then quantised with the clamp's parameters.
    """
    writer = _Writer(model.clone(), quants)
    writer.drop_clamps(clamps)
    nodes = list(writer.graph)
    for node in nodes:
        writer.constants(node)
    for value in [*writer.graph.inputs, *(output for node in nodes for output in node.outputs)]:
        writer.activation(value)
    writer.remove_unused()
    return writer.model


class _Writer:
    def __init__(self, model: ir.Model, quants: Mapping[str, Quant]) -> None:
        self.model, self.graph, self._quants = model, model.graph, quants

    def drop_clamps(self, clamps: Mapping[str, str]) -> None:
        """Hand each clamp's name, readers and place among the outputs to the value it clamps."""
        for node in list(self.graph):
            if node.name in clamps:
                source, result = node.inputs[0], node.outputs[0]
                assert source is not None
                assert source.name == clamps[node.name or ""]
                name = result.name
                ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
                self.graph.remove(node, safe=True)
                source.name = name

    def constants(self, node: ir.Node) -> None:
        """Quantise the weights, the bias and the constant operands of one node."""
        scales: Array | None = None
        bias_index = bias_input(node)
        for index, value, axis in list(weight_inputs(node)):
            weight, bias = _array(value), self._bias(node)
            scales = channel_scales(weight, axis)
            if bias is not None and scales.ndim == 1:
                scales = widen_for_bias(scales, self._input_scale(node), bias)
            if node.op_type == "Gather":
                scales = np.asarray(self._quants[node.outputs[0].name or ""].scale[0], np.float32)
            stored = quantize_weight(weight, scales, axis)
            node.replace_input_with(index, self._dequantized(value, stored, scales, axis))
        if bias_index is not None and scales is not None:
            vector = node.inputs[bias_index]
            assert vector is not None
            stored, product = quantize_bias(np.ravel(_array(vector)), self._input_scale(node), scales)
            node.replace_input_with(bias_index, self._dequantized(vector, stored, product, 0))
        for index, value in list(activation_inputs(node)):
            if constant_of(value) is not None:
                scale = channel_scales(_array(value), None)
                stored = quantize_weight(_array(value), scale, None)
                node.replace_input_with(index, self._dequantized(value, stored, scale, None))

    def activation(self, value: ir.Value) -> None:
        """Put QuantizeLinear and DequantizeLinear between a value and its readers."""
        quant = self._quants.get(value.name or "")
        if quant is None:
            return
        name = value.name or "value"
        scale = add_constant(self.graph, f"{name}_scale", np.asarray(quant.scale[0], np.float32))
        zero = add_constant(self.graph, f"{name}_zero_point", np.asarray(quant.zero_point[0], np.int8))
        pair = [ir.node("QuantizeLinear", [value, scale, zero], name=f"{name}_quantize")]
        pair[0].outputs[0].name = f"{name}_quantized"
        pair.append(ir.node("DequantizeLinear", [pair[0].outputs[0], scale, zero], name=f"{name}_dequantize"))
        result = pair[1].outputs[0]
        result.type, result.shape = value.type, value.shape
        pair[0].outputs[0].shape = value.shape
        pair[0].outputs[0].type = ir.TensorType(ir.DataType.INT8)
        returned = value.is_graph_output()
        ir.convenience.replace_all_uses_with(value, result, replace_graph_outputs=True)
        pair[0].replace_input_with(0, value)
        result.name = f"{name}_dequantized"
        if returned:
            value.name, result.name = f"{name}_real", name
        producer = value.producer()
        if producer is not None:
            self.graph.insert_after(producer, pair)
        else:
            self.graph.insert_before(self.graph[0], pair)

    def remove_unused(self) -> None:
        """Drop what nothing reads any more: float weights, unread outputs."""
        from onnx_ir.passes import common

        common.RemoveUnusedNodesPass()(self.model)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[name]

    def _bias(self, node: ir.Node) -> Array | None:
        index = bias_input(node)
        return None if index is None else np.ravel(_array(node.inputs[index]))

    def _input_scale(self, node: ir.Node) -> float:
        source = node.inputs[0]
        assert source is not None
        return self._quants[source.name or ""].scale[0]

    def _dequantized(self, value: ir.Value, stored: Array, scales: Array, axis: int | None) -> ir.Value:
        """The output of a DequantizeLinear of `stored`, which replaces constant `value`."""
        name = value.name or "constant"
        integers = add_constant(self.graph, f"{name}_quantized", stored)
        scale = add_constant(self.graph, f"{name}_scale", np.asarray(scales, np.float32))
        parameters = [integers, scale]
        if stored.dtype == np.int8:  # an int32 has no zero point
            parameters.append(
                add_constant(self.graph, f"{name}_zero_point", np.zeros(np.shape(scales), np.int8))
            )
        attributes = {} if axis is None else {"axis": axis}
        node = ir.node("DequantizeLinear", parameters, attributes, name=f"{integers.name}_dequantize")
        node.outputs[0].name = f"{integers.name}_dequantized"
        node.outputs[0].type, node.outputs[0].shape = value.type, ir.Shape(stored.shape)
        self.graph.insert_before(self.graph[0], node)
        return node.outputs[0]


def _array(value: ir.Value | None) -> Array:
    assert value is not None
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy())
