"""A network on values as they are, not quantised: every ONNX node an IR node of the operator `Onnx`."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import DTYPES, Graph, Tensor
from edgeprune.graph.onnx_import.normalize import normalize
from edgeprune.graph.onnx_import.onnx_nodes import add_onnx_node, kept_outputs
from edgeprune.graph.onnx_import.quantization import constant_of
from edgeprune.graph.verify import verify
from edgeprune.ops._onnx_model import STORED

__all__ = ["import_plain"]

_VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_NESTED = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def import_plain(data: bytes, name: str) -> Graph:
    """The graph of an ONNX model in its own types and layouts; ids are stored as int32.

    Raises:
        UsageError: the file is not an ONNX model, a type or shape is not one a library can have, or control flow
            remains after constants are folded; the sentence names the node or value.
    """
    lowering = _Lowering(normalize(data, as_qdq=False))
    return verify(lowering.graph(name))


class _Lowering:
    """The walk over one model; `build` collects the nodes."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.opset = model.opset_imports.get("", 0)
        self.build = Builder()
        self.tensors: dict[ir.Value, Tensor] = {}

    def graph(self, name: str) -> Graph:
        """All nodes, in order."""
        inputs = [self._activation(value) for value in self.model.graph.inputs if not _is_constant(value)]
        for node in self.model.graph:
            self._node(node)
        return self.build.graph(name, inputs, [self._output(value) for value in self.model.graph.outputs])

    def _node(self, node: ir.Node) -> None:
        label = node.name or node.outputs[0].name or node.op_type
        if node.domain not in ("", "ai.onnx"):
            raise UsageError(
                f"operator {node.domain}.{node.op_type} (node {label!r}) is not one of ONNX's own"
            )
        if any(attribute.type in _NESTED for attribute in node.attributes.values()):
            raise UsageError(
                f"{node.op_type} node {label!r} has a body of its own: export without control flow"
            )
        inputs = [self._operand(value) for value in node.inputs if value is not None]
        if _in_training(node, inputs):
            raise UsageError(f"{node.op_type} node {label!r} is in training mode; export for inference")
        if node.op_type in _VIEWS and inputs[0].value is None:
            result = self._activation(node.outputs[0])
            self.build.add("Reshape", label, inputs[:1], [result], {"shape": result.shape})
            return
        kept = kept_outputs(node, self.opset)
        outputs = [self._activation(value) for value in kept]
        values = [*(value for value in node.inputs if value is not None), *kept]
        types = [int(value.dtype) if value.dtype is not None else 0 for value in values]
        add_onnx_node(self.build, node, label, (inputs, outputs), types, self.opset)

    def _operand(self, value: ir.Value) -> Tensor:
        array = constant_of(value)
        if array is None:
            return self._activation(value)
        if value not in self.tensors:
            if array.dtype.name not in DTYPES:
                raise UsageError(
                    f"constant {value.name!r} is {array.dtype.name}: export the network in float32"
                )
            self.tensors[value] = self.build.constant(value.name or "constant", array)
        return self.tensors[value]

    def _activation(self, value: ir.Value) -> Tensor:
        if value not in self.tensors:
            name = value.name or "value"
            self.tensors[value] = self.build.tensor(name, _shape(value), _dtype(value, name), None)
        return self.tensors[value]

    def _output(self, value: ir.Value) -> Tensor:
        if _is_constant(value):
            raise UsageError(f"graph output {value.name!r} is a constant: it does not depend on any input")
        return self._activation(value)


def _in_training(node: ir.Node, inputs: Sequence[Tensor]) -> bool:
    """Whether `node` computes something else than it would in inference."""
    if node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2] is not None:
        mode = inputs[-1].value
        return mode is None or bool(mode.any())
    attribute = node.attributes.get("training_mode")
    return attribute is not None and attribute.as_int() != 0


def _is_constant(value: ir.Value) -> bool:
    return constant_of(value) is not None


def _shape(value: ir.Value) -> tuple[int, ...]:
    if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        raise UsageError(
            f"the shape of {value.name!r} is not fixed ({value.shape}); export the model with static shapes"
        )
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]


def _dtype(value: ir.Value, name: str) -> str:
    if value.dtype is None:
        raise UsageError(f"the type of {name!r} is not known")
    found = value.dtype.numpy().name
    found = STORED.get(found, found)
    if found not in DTYPES:
        raise UsageError(f"value {name!r} is {found}: export the network in float32")
    return found
