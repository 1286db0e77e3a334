"""Nodes of the operator `Onnx` as an ONNX model again: what onnxruntime defines and TVM compiles.

The library stores ONNX's int64 as int32, since ids, lengths and positions fit; such a model casts at its boundary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeprune.graph.ir import Node, Shape, Tensor

if TYPE_CHECKING:
    import onnx

__all__ = ["STORED", "onnx_model"]

STORED = {"int64": "int32"}
"""How the library stores computed values of ONNX types that it has no use for."""
_IR_VERSION = 10


def onnx_model(nodes: Sequence[Node], shapes: Mapping[str, Shape] | None = None) -> onnx.ModelProto:
    """The model that computes the outputs of the last of `nodes` from what none of them computes.

    `shapes` are those of tensors that are to have others than their own, by name.
    """
    import onnx
    from onnx import helper, numpy_helper

    shapes = shapes or {}
    graph = onnx.GraphProto(name="step")
    produced: set[str] = set()
    given: dict[str, Tensor] = {}
    casts_in, casts_out = [], []
    for node in nodes:
        proto, types = node_proto(node), node.ints("types")
        operands = iter(zip(node.inputs, types, strict=False))
        for position, name in enumerate(proto.input):
            if not name:
                continue
            tensor, onnx_type = next(operands)
            proto.input[position] = tensor.name
            if tensor.value is not None and tensor.name not in given:
                value = tensor.value.reshape(shapes.get(tensor.name, tensor.shape))
                graph.initializer.append(numpy_helper.from_array(value, tensor.name))
            elif tensor.name not in produced and tensor.name not in given:
                stored = _stored_type(tensor, onnx_type)
                source, shape = tensor.name, shapes.get(tensor.name, tensor.shape)
                if stored != onnx_type:
                    source = f"{tensor.name}_stored"
                    casts_in.append(helper.make_node("Cast", [source], [tensor.name], to=onnx_type))
                graph.input.append(helper.make_tensor_value_info(source, stored, shape))
            given[tensor.name] = tensor
        results = zip(node.outputs, types[len(node.inputs) :], strict=True)
        for position, name in enumerate(proto.output):
            if not name:
                continue
            tensor, onnx_type = next(results)
            proto.output[position] = tensor.name
            produced.add(tensor.name)
            if node is nodes[-1]:
                stored, result = _stored_type(tensor, onnx_type), tensor.name
                shape = shapes.get(tensor.name, tensor.shape)
                if stored != onnx_type:
                    result = f"{tensor.name}_stored"
                    casts_out.append(helper.make_node("Cast", [tensor.name], [result], to=stored))
                graph.output.append(helper.make_tensor_value_info(result, stored, shape))
        graph.node.append(proto)
    body = [*casts_in, *graph.node, *casts_out]
    del graph.node[:]
    graph.node.extend(body)
    opsets = [helper.make_opsetid("", nodes[-1].int("opset"))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def node_proto(node: Node) -> onnx.NodeProto:
    """The ONNX node that an IR node stands for."""
    import onnx

    data = node.attrs["node"]
    assert isinstance(data, bytes)
    proto: onnx.NodeProto = onnx.NodeProto.FromString(data)
    return proto


def _stored_type(tensor: Tensor, onnx_type: int) -> int:
    """The ONNX type of what the library stores for a value of `onnx_type`."""
    from onnx import TensorProto, helper

    stored = TensorProto.INT32 if onnx_type == TensorProto.INT64 else onnx_type
    assert helper.tensor_dtype_to_np_dtype(stored).name == tensor.dtype, (
        tensor.name,
        onnx_type,
        tensor.dtype,
    )
    return int(stored)
