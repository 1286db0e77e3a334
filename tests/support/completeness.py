"""Does a QDQ model hold real numbers anywhere but between a DequantizeLinear and a QuantizeLinear?"""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.quantize.operators import activation_inputs, is_float, weight_inputs

__all__ = ["unquantised_tensors"]


def unquantised_tensors(data: bytes) -> list[str]:
    """Names of the values that an int8 implementation could not store as integers.

    They are: float results that something other than QuantizeLinear reads, float inputs of the graph that are
    not quantised at once, and float weights or constant operands. Parameters that stay real by definition (bounds
    of a Clip, scale and shift of a LayerNormalization, biases of recurrent operators) are not among them.
    """
    import onnx
    from onnx_ir.passes import common

    model = ir.from_proto(onnx.load_model_from_string(data))
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    graph, found = model.graph, []
    values = [value for value in graph.inputs if value.const_value is None]
    values += [value for node in graph if node.op_type != "DequantizeLinear" for value in node.outputs]
    for value in values:
        readers = [use.node.op_type for use in value.uses()]
        if is_float(value) and (
            value.is_graph_output() or any(reader != "QuantizeLinear" for reader in readers)
        ):
            found.append(value.name or "?")
    for node in graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        found += [value.name or "?" for _, value, _ in weight_inputs(node)]
        found += [value.name or "?" for _, value in activation_inputs(node) if value.const_value is not None]
    return list(dict.fromkeys(found))
