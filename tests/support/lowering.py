"""Lowers one ONNX node as the importer would and runs it, beside ONNX Runtime on the same node in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from edgeprune.graph.build import Builder
from edgeprune.graph.build import constant as constant_tensor
from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.ops import OnnxNode, operator_for
from edgeprune.ops.base import operators_by_onnx_type

__all__ = ["lower", "run_nodes", "run_onnxruntime"]

Constants = Mapping[int, Array]
"""Constant inputs of a node by their position; positions left out and not taken by x are absent."""


def run_onnxruntime(
    op_type: str,
    xs: Sequence[Array],
    constants: Constants,
    attrs: Mapping[str, Any],
    opset: int,
    outputs: int = 1,
) -> list[Array]:
    """Outputs of the node on activations `xs` (the first inputs) and `constants`."""
    count = max([len(xs) - 1, *constants]) + 1
    names = [f"x{i}" if i < len(xs) else (f"c{i}" if i in constants else "") for i in range(count)]
    node = helper.make_node(op_type, names, [f"y{i}" for i in range(outputs)], **attrs)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(f"x{i}", onnx.TensorProto.FLOAT, x.shape) for i, x in enumerate(xs)],
        [helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, None) for i in range(outputs)],
        [numpy_helper.from_array(value, f"c{i}") for i, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {f"x{i}": x.astype(np.float32) for i, x in enumerate(xs)}))


def lower(
    op_type: str,
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    constants: Constants,
    attrs: Mapping[str, Any],
    opset: int,
) -> tuple[Node, ...]:
    """The IR nodes of the ONNX node."""
    count = max([len(xs) - 1, *constants]) + 1
    inputs: list[Tensor | None] = [*xs, *(None for _ in range(count - len(xs)))]
    for index, value in constants.items():
        inputs[index] = constant_tensor(f"c{index}", value)
    build = Builder({tensor.name for tensor in (*xs, *ys)})
    node = OnnxNode(op_type, "node", tuple(inputs), tuple(ys), dict(attrs), opset)
    operators_by_onnx_type()[op_type].lower(node, build)
    return tuple(build.nodes)


def run_nodes(nodes: Sequence[Node], xs: Sequence[Tensor], values: Sequence[Array]) -> dict[str, Array]:
    """Every tensor's stored values; shapes, dtypes and the operators' rules are checked on the way."""
    known = {tensor.name: value for tensor, value in zip(xs, values, strict=True)}
    for node in nodes:
        operator = operator_for(node)
        assert operator.infer_shapes(node) == tuple(tensor.shape for tensor in node.outputs), node
        operator.check(node)
        inputs = [known[t.name] if t.value is None else t.value for t in node.inputs]
        for tensor, result in zip(node.outputs, operator.reference(node, *inputs), strict=True):
            assert (result.shape, result.dtype.name) == (tensor.shape, tensor.dtype), node
            known[tensor.name] = result
    return known
