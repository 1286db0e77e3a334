"""What quantisation must know of ONNX operators: which inputs are weights, parameters or activations."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

__all__ = [
    "CLAMPS",
    "RECURRENT",
    "activation_inputs",
    "bias_input",
    "constant_of",
    "is_activation",
    "is_float",
    "moves_data",
    "weight_inputs",
]

RECURRENT = ("LSTM", "GRU", "RNN")
CLAMPS = ("Relu", "Clip")

_WEIGHTED = {"Conv": (1,), "ConvTranspose": (1,), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2)}
_BIASED = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2}
# Inputs that carry activations; the others of these operators are parameters and stay as they are.
_ACTIVATIONS = {
    "Conv": (0,),
    "ConvTranspose": (0,),
    "Gemm": (0, 1),
    "LSTM": (0,),
    "GRU": (0,),
    "RNN": (0,),
    "Gather": (0,),
    "Clip": (0,),
    "Resize": (0,),
    "Pad": (0,),
    "PRelu": (0,),
    "Pow": (0,),
    "LayerNormalization": (0,),
    "RMSNormalization": (0,),
    "GroupNormalization": (0,),
    "InstanceNormalization": (0,),
    "BatchNormalization": (0,),
}
_MOVES_DATA = {
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The constant tensor of a value, or None when it is absent or computed."""
    return None if value is None else value.const_value


def is_float(value: ir.Value) -> bool:
    """Whether a value holds real numbers."""
    return value.dtype in _FLOATS


def is_activation(value: ir.Value) -> bool:
    """Whether a value is a computed (or given) float tensor that something reads or that the graph returns."""
    return is_float(value) and value.const_value is None and (bool(value.uses()) or value.is_graph_output())


def activation_inputs(node: ir.Node) -> Iterator[tuple[int, ir.Value]]:
    """Index and value of each float input of `node` that carries data, constant or computed; weights excluded."""
    indices = _ACTIVATIONS.get(node.op_type, range(len(node.inputs)))
    weights = {index for index, _, _ in weight_inputs(node)}
    for index in indices:
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is not None and is_float(value) and index not in weights:
            yield index, value


def weight_inputs(node: ir.Node) -> Iterator[tuple[int, ir.Value, int | None]]:
    """Index, value and channel axis (None: per tensor) of each constant weight of `node`."""
    for index, value in enumerate(node.inputs):
        constant = constant_of(value)
        if value is None or constant is None or not is_float(value):
            continue
        rank = len(constant.shape)
        if index in _WEIGHTED.get(node.op_type, ()):
            yield index, value, 0 if node.op_type == "Conv" else 1
        elif node.op_type == "Gemm" and index == 1:
            yield index, value, 0 if int_attribute(node, "transB", 0) else 1
        elif node.op_type == "MatMul":
            yield index, value, 1 if index == 1 and rank == 2 else None
        elif node.op_type == "Gather" and index == 0:
            yield index, value, None


def bias_input(node: ir.Node) -> int | None:
    """The index of the constant bias of `node`, if it has one beside a constant weight."""
    index = _BIASED.get(node.op_type)
    if index is None or index >= len(node.inputs):
        return None
    both_constant = constant_of(node.inputs[1]) is not None and constant_of(node.inputs[index]) is not None
    return index if both_constant else None


def moves_data(node: ir.Node) -> bool:
    """Whether every output element is one of the input's elements, so that both share one scale."""
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() == "nearest"
    return node.op_type in _MOVES_DATA


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()
