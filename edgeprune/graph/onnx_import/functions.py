"""Values between QuantizeLinear nodes that no tensor stores, each a function of one stored activation.

Quantisers leave operators they do not know in float, such as the Div and Erf of a GELU between a
DequantizeLinear and a QuantizeLinear. Where such a value depends on one stored activation alone, element by
element, no scale need be invented for it: the operator that ends the chain becomes one table of 256 entries.

Where such a value must be stored after all, because something else reads it, its scale is the operator's natural
one (a sigmoid's is 1/256), or covers just the values that the function takes on the 256 stored inputs. See
`covering` for what else has a scale that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Quant, Tensor
from edgeprune.graph.onnx_import.covering import (
    ARITHMETIC,
    Constants,
    covering_quant,
    interval_quant,
    normalised_input_quant,
)
from edgeprune.graph.onnx_import.quantization import FLOATS, Slots
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import OnnxNode, operators_by_onnx_type

__all__ = ["Functions", "settled_functions"]

_BINARY: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {**ARITHMETIC, "Max": np.maximum, "Min": np.minimum}
)
_STEEPEST = 3.0
_REAL = Quant.per_tensor(1.0, 0)

Adapt = Callable[[ir.Node, list["Tensor | None"], list[Tensor]], OnnxNode]


def settled_functions(model: ir.Model, slots: Slots, constant: Constants, adapt: Adapt) -> Functions:
    """The functions of a model, after `slots` has been given scales for all values that must be stored."""
    while True:
        functions = Functions(model, slots, constant, adapt)
        if not _store_one(model, slots, functions, constant):
            return functions
        slots.propagate(model)


def _store_one(model: ir.Model, slots: Slots, functions: Functions, constant: Constants) -> bool:
    """Give the first value that must be stored and has no scale the one it can have."""
    for value in model.graph.inputs:
        quant = normalised_input_quant(value, slots, constant) if slots.quant(value) is None else None
        if quant is not None and value.dtype in FLOATS:
            slots.assign([value], quant)
            return True
    for node in model.graph:
        operator, result = operators_by_onnx_type().get(node.op_type), node.outputs[0]
        if slots.quant(result) is not None or functions.is_passed_on(node):
            continue
        natural = None if operator is None else operator.natural_quant
        quant = natural or functions.covering_quant(result) or interval_quant(node, slots, constant)
        if quant is not None and result.dtype in FLOATS:
            slots.assign((v for v in node.outputs if v.dtype in FLOATS), quant)
            return True
    return False


class Functions:
    """Which values of a model are functions of one stored activation, and what they are."""

    def __init__(self, model: ir.Model, slots: Slots, constant: Constants, adapt: Adapt) -> None:
        self._slots, self._constant, self._adapt = slots, constant, adapt
        self._nodes: dict[ir.Value, ir.Node] = {}
        self._variables: dict[ir.Value, ir.Value] = {}
        for node in model.graph:
            variable = self._variable(node)
            if variable is not None:
                self._nodes[node.outputs[0]] = node
                self._variables[node.outputs[0]] = variable

    def is_passed_on(self, node: ir.Node) -> bool:
        """Whether the result of `node` need not be stored, because it is a function that its readers compute."""
        result = node.outputs[0]
        if not self._is_inner(result) or result.is_graph_output():
            return False
        return all(use.node.outputs[0] in self._nodes for use in result.uses())

    def covering_quant(self, value: ir.Value) -> Quant | None:
        """Parameters that cover all that `value` can be; None where that is no function, or too steep for it.

        A step of the variable may move it by `_STEEPEST` of its own steps: affine functions, Relu, Gelu and their
        like do less. Squares, roots and exponentials would leave most of their inputs too few steps.
        """
        variable = self._variables.get(value)
        quant = None if variable is None else self._slots.quant(variable)
        if quant is None:
            return None
        stored = np.arange(-128, 128, dtype=np.float64)
        with np.errstate(all="ignore"):
            real = self.at(value, quant.scale[0] * (stored - quant.zero_point[0]))
        covering = covering_quant(real)
        if covering is None or np.abs(np.diff(real)).max() > _STEEPEST * covering.scale[0]:
            return None
        return covering

    def composed(self, node: ir.Node) -> ir.Value | None:
        """The stored activation of which `node` is a function, where no operator computes it from its inputs.

        It reads values that are not stored, or it has no operator of its own.
        """
        inner = any(self._is_inner(v) for v in node.inputs if v is not None)
        alone = node.op_type not in operators_by_onnx_type()
        return self._variables.get(node.outputs[0]) if inner or alone else None

    def at(self, value: ir.Value, real: Array) -> Array:
        """`value` where its variable is `real` (float64)."""
        node, known = self._nodes[value], list[Array]()
        tensors = [None if v is None else self._constant(v) for v in node.inputs]
        for source, constant in zip(node.inputs, tensors, strict=True):
            if source is not None and constant is None:
                known.append(self.at(source, real) if self._is_inner(source) else real)
            elif constant is not None:
                assert constant.value is not None
                known.append(constant.value.astype(np.float64).reshape(()))
        if node.op_type in _BINARY:
            return _BINARY[node.op_type](*known)
        operator, build = operators_by_onnx_type()[node.op_type], Builder()
        assert isinstance(operator, UnaryTable)
        inputs = [Tensor("x", real.shape, "int8", _REAL), *tensors[1:]]
        operator.lower(self._adapt(node, inputs, [Tensor("y", real.shape, "int8", _REAL)]), build)
        return operator.function(build.nodes[0], known[0])

    def _is_inner(self, value: ir.Value) -> bool:
        return value in self._nodes and self._slots.quant(value) is None

    def _variable(self, node: ir.Node) -> ir.Value | None:
        """The one stored activation that `node` depends on, element by element."""
        unary = isinstance(operators_by_onnx_type().get(node.op_type), UnaryTable)
        if not unary and (node.op_type not in _BINARY or len(node.inputs) != 2):
            return None
        found = set()
        for value in node.inputs:
            constant = None if value is None else self._constant(value)
            if value is None or (constant is not None and constant.elements == 1):
                continue
            stored = self._slots.quant(value) is not None and constant is None
            found.add(self._slots.root(value) if stored else self._variables.get(value))
        variable = found.pop() if len(found) == 1 else None
        return variable if variable is not None and variable.shape == node.outputs[0].shape else None
