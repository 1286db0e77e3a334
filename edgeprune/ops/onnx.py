"""An ONNX operator as the ONNX specification defines it, on values as they are: float32, ids, truth values.

The reference is onnxruntime's, node by node, without optimisations. It rounds as its own kernels do, so float results
are compared with it within a tolerance (docs/tvm.md), not byte for byte. Convolutions and products of integers are
defined by `_onnx_integers`, exactly. Layouts are ONNX's.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Shape
from edgeprune.ops._onnx_integers import INTEGERS, in_integers
from edgeprune.ops._onnx_model import node_proto, onnx_model
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["ELEMENTWISE", "OPERATOR", "OWN", "Onnx"]

ELEMENTWISE = frozenset(
    (
        "Abs",
        "Add",
        "BatchNormalization",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Log",
        "Max",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
    )
)
"""Operators whose results each follow from one element of each operand."""

_FILTERED = ("Conv", "ConvTranspose")
_PRODUCTS = ("Gemm", "MatMul")
_RECURRENT = ("GRU", "LSTM", "RNN")
OWN = (*_RECURRENT, "CumSum")
"""Operators that TVM has no form of: kernels of ours run them, one by one."""


class Onnx(Operator):
    """attrs: `node`, the serialised NodeProto, whose absent operands have empty names; `type`, its operator;
    `opset`; `types`, the ONNX element types of inputs and outputs."""

    name = "Onnx"
    is_plain = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        raise NotImplementedError("graph.onnx_import.plain builds these nodes")

    def title(self, node: Node) -> str:
        return str(node.attrs["type"])

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Those that the importer's shape inference found."""
        return tuple(tensor.shape for tensor in node.outputs)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return _run(node, inputs)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return _run(node, inputs)

    def macs(self, node: Node) -> int:
        kind = self.title(node)
        if kind in _FILTERED:
            counted = node.output if kind == "Conv" else node.inputs[0]
            return counted.elements * math.prod(node.inputs[1].shape[1:])
        if kind in _PRODUCTS:
            transposed = kind == "Gemm" and any(
                a.name == "transA" and a.i for a in node_proto(node).attribute
            )
            return node.output.elements * node.inputs[0].shape[0 if transposed else -1]
        if kind in _RECURRENT:
            return node.inputs[0].shape[0] * sum(tensor.elements for tensor in node.inputs[1:3])
        return 0


def _run(node: Node, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """The outputs of onnxruntime; the session's inputs are the node's computed ones, each once."""
    computed = {t.name: array for t, array in zip(node.inputs, inputs, strict=True) if t.value is None}
    if node.attrs["type"] in INTEGERS:
        evaluator = _evaluator(node)
        named = zip(evaluator.input_names, computed.values(), strict=True)
        return tuple(np.asarray(array) for array in evaluator.run(None, dict(named)))
    session = _session(node)
    feeds = zip(session.get_inputs(), computed.values(), strict=True)
    outputs = session.run(None, {port.name: np.ascontiguousarray(array) for port, array in feeds})
    return tuple(np.asarray(array) for array in outputs)


@functools.lru_cache(maxsize=4096)
def _evaluator(node: Node) -> Any:
    """Of the specification's own definitions, which know integers of every width."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(in_integers(onnx_model((node,))))


@functools.lru_cache(maxsize=4096)
def _session(node: Node) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        data = onnx_model((node,)).SerializeToString()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"onnxruntime refuses {OPERATOR.title(node)} node {node.name!r}: {reason}"
        ) from error


OPERATOR = Onnx()
