"""Each ONNX node handed to its operator, which appends the IR nodes that compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Graph, Quant, Tensor
from edgeprune.graph.onnx_import.explain import unsupported_operator
from edgeprune.graph.onnx_import.functions import settled_functions
from edgeprune.graph.onnx_import.islands import add_island, can_be_island, stored_dtype
from edgeprune.graph.onnx_import.normalize import normalize
from edgeprune.graph.onnx_import.onnx_nodes import kept_outputs
from edgeprune.graph.onnx_import.quantization import (
    Slots,
    as_stored,
    constant_of,
    stored_constant,
    stored_constant_input,
)
from edgeprune.graph.verify import GraphError, verify
from edgeprune.ops._operands import symmetric_int8
from edgeprune.ops._table import rounded_table
from edgeprune.ops._values import real_value
from edgeprune.ops.base import OnnxNode, Operator, operators_by_onnx_type

__all__ = ["import_onnx"]


def import_onnx(data: bytes, name: str, *, islands: bool = True) -> Graph:
    """The typed integer graph of a QDQ (or QLinear) int8 ONNX model, in ONNX's layouts.

    Operators without an integer form are in float32, between conversions, unless `islands` is False.

    Raises:
        UsageError: an operator, attribute or type that is not supported, or a value that is not quantised;
            the sentence names the node and the graph inputs that lead to it.
    """
    model = normalize(data, as_qdq=True)
    lowering = _Lowering(model, islands)
    for node in model.graph:
        lowering.node(node)
    inputs = [lowering.activation(value) for value in model.graph.inputs]
    outputs = [lowering.output(value) for value in model.graph.outputs]
    try:
        return verify(lowering.build.graph(name, inputs, outputs))
    except GraphError as error:
        raise UsageError(f"the model cannot be run in int8: {error}") from error


class _Lowering:
    """The walk over one model; `build` collects the nodes."""

    def __init__(self, model: ir.Model, islands: bool) -> None:
        self.islands = islands
        self.slots = Slots(model)
        self.opset = model.opset_imports.get("", 0)
        self.tensors: dict[ir.Value, Tensor] = {}
        self.build = Builder()
        self.functions = settled_functions(model, self.slots, self._real_constant, self._adapt)
        for value in model.graph.inputs:
            self.activation(value)

    def node(self, node: ir.Node) -> None:
        """Append what `node` computes."""
        if node.op_type == "QuantizeLinear":
            self._requantize(node)
        elif node.op_type != "DequantizeLinear" and not self.functions.is_passed_on(node):
            variable, operator = self.functions.composed(node), operators_by_onnx_type().get(node.op_type)
            if variable is not None:
                self._look_up(node, variable)
            elif self._reads_reals(node):
                if not can_be_island(node):
                    raise unsupported_operator(node, in_float=False)
                self._island(node)
            elif operator is None and self._may_be_island(node):
                self._island(node)
            elif operator is not None:
                self._lower_or_island(node, operator)
            else:
                raise unsupported_operator(node, in_float=can_be_island(node))

    def activation(self, value: ir.Value) -> Tensor:
        """The slot's tensor of a computed value or graph input."""
        root = self.slots.root(value)
        if root not in self.tensors:
            name = root.name or "value"
            quant = self.slots.quant(root)
            dtype = _dtype(root, quant, name)
            self.tensors[root] = self.build.tensor(name, _shape(root), dtype, quant)
        return self.tensors[root]

    def output(self, value: ir.Value) -> Tensor:
        """The tensor of a graph output."""
        if self._constant(value) is not None:
            raise UsageError(f"graph output {value.name!r} is a constant: it does not depend on any input")
        return self.activation(value)

    def _reads_reals(self, node: ir.Node) -> bool:
        """Whether an operand is what an island left as real numbers."""
        known = [self.tensors.get(self.slots.root(value)) for value in node.inputs if value is not None]
        return any(tensor is not None and tensor.dtype == "float32" for tensor in known)

    def _may_be_island(self, node: ir.Node) -> bool:
        return self.islands and can_be_island(node)

    def _island(self, node: ir.Node) -> None:
        operands = [None if value is None else self._as_stored(value) for value in node.inputs]
        results = [self._result(value) for value in kept_outputs(node, self.opset)]
        add_island(self.build, node, operands, results, self.opset)

    def _as_stored(self, value: ir.Value) -> Tensor:
        """What the graph stores for an operand of an island."""
        found = self._constant(value)
        if found is None:
            return self.activation(value)
        array, quant = found
        return self.build.constant(value.name or "constant", array, quant)

    def _result(self, value: ir.Value) -> Tensor:
        """What is stored for a result of an island: int8 where it has a scale, else as it is."""
        root = self.slots.root(value)
        if root not in self.tensors and self.slots.quant(root) is None:
            self.tensors[root] = self.build.tensor(
                root.name or "value", _shape(root), stored_dtype(root), None
            )
        return self.activation(value)

    def _lower_or_island(self, node: ir.Node, operator: Operator) -> None:
        """An operator in integers or, where it takes no such attributes or shapes, as an island."""
        before = len(self.build.nodes)
        try:
            self._lower(node, operator)
        except UsageError:
            stored = all(
                self.slots.quant(v) is not None for v in node.outputs if v.dtype == ir.DataType.FLOAT
            )
            if not self._may_be_island(node) or not stored:
                raise
            del self.build.nodes[before:]
            self._island(node)

    def _lower(self, node: ir.Node, operator: Operator) -> None:
        outputs = [self.activation(v) if v.uses() or v.is_graph_output() else _ABSENT for v in node.outputs]
        inputs = [self._operand(v, operator, node) for v in node.inputs]
        if operator.keeps_quant:
            self._lower_keeping_quant(node, operator, inputs, outputs)
        else:
            operator.lower(self._adapt(node, inputs, outputs), self.build)

    def _look_up(self, node: ir.Node, variable: ir.Value) -> None:
        """A chain of operators on one stored activation, of which `node` is the last, as one table."""
        x, y = self.activation(variable), self.activation(node.outputs[0])
        table = rounded_table(lambda real: self.functions.at(node.outputs[0], real), x, y)
        self.build.add("Lookup", _name(node), [x], [y], {"table": tuple(int(entry) for entry in table)})

    def _lower_keeping_quant(
        self, node: ir.Node, operator: Operator, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]
    ) -> None:
        """Data movement stores what it reads, so a difference in scale becomes a Requantize beside it."""
        wanted = next(t.quant for t in outputs if t.name)
        if sum(bool(t.name) for t in outputs) == 1:
            moved = [
                self._at(t, wanted) if t is not None and t.value is None and t.quant else t for t in inputs
            ]
            operator.lower(self._adapt(node, moved, outputs), self.build)
            return
        kept = inputs[0].quant if inputs[0] is not None else None
        raw = [t if t.quant == kept or not t.name else self._like(t, kept) for t in outputs]
        operator.lower(self._adapt(node, inputs, raw), self.build)
        for source, result in zip(raw, outputs, strict=True):
            if source is not result:
                self.build.add("Requantize", result.name, [source], [result])

    def _at(self, tensor: Tensor, quant: Quant | None) -> Tensor:
        if tensor.quant == quant:
            return tensor
        result = self._like(tensor, quant)
        self.build.add("Requantize", result.name, [tensor], [result])
        return result

    def _like(self, tensor: Tensor, quant: Quant | None) -> Tensor:
        return self.build.tensor(f"{tensor.name}_requantized", tensor.shape, tensor.dtype, quant)

    def _requantize(self, node: ir.Node) -> None:
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        if constant_of(source) is None and self.slots.root(source) is not self.slots.root(result):
            self.build.add(
                "Requantize", result.name or "", [self.activation(source)], [self.activation(result)]
            )

    def _operand(self, value: ir.Value | None, operator: Operator, node: ir.Node) -> Tensor | None:
        if value is None:
            return None
        found = self._constant(value)
        if found is None:
            return self.activation(value)
        array, quant = found
        kept = self.slots.quant(node.outputs[0]) if operator.keeps_quant else None
        if kept is not None and quant is None:
            array, quant = as_stored(array, kept) or (array, quant)
        if operator.quantizes_constants and quant is None and np.issubdtype(array.dtype, np.floating):
            array, quant = symmetric_int8(array)
        return self.build.constant(value.name or "constant", array, quant)

    def _constant(self, value: ir.Value) -> tuple[np.ndarray[Any, Any], Quant | None] | None:
        array = constant_of(value)
        if array is not None:
            return (array.astype(np.float32) if array.dtype == np.float64 else array), None
        producer = value.producer()
        if (
            producer is not None
            and producer.op_type == "DequantizeLinear"
            and stored_constant_input(producer)
        ):
            return stored_constant(producer)
        return None

    def _real_constant(self, value: ir.Value) -> Tensor | None:
        """A constant with its real numbers; None where `value` is computed."""
        found = self._constant(value)
        if found is None:
            return None
        array, quant = found
        return constant(value.name or "constant", real_value(Tensor("", array.shape, "", quant, array)))

    def _adapt(self, node: ir.Node, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> OnnxNode:
        attributes = {name: _attribute(attribute) for name, attribute in node.attributes.items()}
        return OnnxNode(node.op_type, _name(node), tuple(inputs), tuple(outputs), attributes, self.opset)


_ABSENT = Tensor("", (), "int8")


def _name(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def _attribute(attribute: ir.Attr) -> Any:
    value = attribute.value
    if attribute.type == ir.AttributeType.TENSOR:
        return value.numpy()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _shape(value: ir.Value) -> tuple[int, ...]:
    if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        raise UsageError(
            f"the shape of {value.name!r} is not fixed ({value.shape}); export the model with static shapes"
        )
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]


def _dtype(value: ir.Value, quant: Quant | None, name: str) -> str:
    if quant is not None:
        return "int8"
    if value.dtype in (ir.DataType.INT32, ir.DataType.INT64):
        return "int32"
    producer = value.producer()
    if producer is None and not value.uses():
        raise UsageError(f"graph input {name!r} is read by no node: leave it out of the network")
    where = f"output of {producer.op_type} node {producer.name!r}" if producer is not None else "graph input"
    raise UsageError(
        f"{where} {name!r} is not quantised: quantise it (QuantizeLinear after it), or deploy the float model"
        " with --calibration"
    )
