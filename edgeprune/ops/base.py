"""What an operator is: the class each file in this folder instantiates once, as `OPERATOR`.

A new operator is one new file here; nothing else lists it. Files whose names begin with an underscore, and
this one, hold what several operators share.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Quant, Shape, Tensor

__all__ = ["OnnxNode", "Operator", "operator_for", "operators", "operators_by_onnx_type"]


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node as operators see it: quantisation resolved, constants at hand, layouts still ONNX's.

    `inputs` hold None where an optional input is absent. In an int8 graph the inputs and outputs are already
    the stored integer tensors with their `quant`; a float constant that was not quantised stays float32.
    """

    op_type: str
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attrs: Mapping[str, Any]
    opset: int

    def input(self, index: int) -> Tensor | None:
        """Input `index`, or None when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def required(self, index: int) -> Tensor:
        """Input `index`, which must be there."""
        tensor = self.input(index)
        if tensor is None:
            raise UsageError(f"{self.op_type} node {self.name!r} lacks its input {index}")
        return tensor

    def constant(self, index: int, what: str) -> Array:
        """The value of input `index`, which must be a constant."""
        tensor = self.required(index)
        if tensor.value is None:
            raise UsageError(
                f"{self.op_type} node {self.name!r} takes its {what} from a computed tensor; it must be a constant"
            )
        return tensor.value


class Operator:
    """Everything known about one operator of the IR."""

    name: ClassVar[str]
    """The operator's name in `Node.op`."""
    onnx_types: ClassVar[tuple[str, ...]] = ()
    """ONNX operators that `lower` accepts."""
    keeps_quant: ClassVar[bool] = False
    """Outputs are stored at the input's scale and zero point (data movement, max pooling, clamps)."""
    quantizes_constants: ClassVar[bool] = False
    """A float constant operand is stored as int8 at its own symmetric scale (elementwise operators)."""
    is_view: ClassVar[bool] = False
    """The output is the input's bytes under another shape, so that the plan need not copy."""
    is_plain: ClassVar[bool] = False
    """It works on values as they are: integers that it reads and writes need no scale."""
    is_elementwise: ClassVar[bool] = False
    """Element i of the output takes element i of each activation, and constants that broadcast."""
    broadcasts: ClassVar[bool] = False
    """Element i of the output takes element i of each operand, activations that broadcast among them."""
    natural_quant: ClassVar[Quant | None] = None
    """What an output that the model left unquantised is stored at, where the operator's range fixes it."""

    def title(self, node: Node) -> str:
        """The operator's name as a reader knows it."""
        return node.op

    def lower(self, node: OnnxNode, build: Builder) -> None:
        """Append the IR nodes that compute `node.outputs` from `node.inputs`.

        Raises:
            UsageError: an attribute or shape this operator does not take; the sentence names the node.
        """
        raise NotImplementedError

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        """The shapes of the outputs, from inputs' shapes and attributes."""
        raise NotImplementedError

    def check(self, node: Node) -> None:
        """Quantisation and type rule, beyond shapes.

        Raises:
            ValueError: the node breaks the rule; the text says how.
        """

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        """The operator's definition on stored integers: bit-exact, what every kernel must return."""
        raise NotImplementedError

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        """The operator on real numbers (float64), without rounding or clamps of the integer form."""
        raise NotImplementedError

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        """Attributes for the same result when every activation arrives permuted by `perm`, or None.

        An operator that commutes with Transpose says so here, and transposes then move past it and vanish.
        """
        return None

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        """How one position along `axis` of the activations is computed from that alone; None where it takes others.

        The output's axis that has those positions, and the attributes of a node that takes one of them.
        """
        return None

    def updates(self, node: Node) -> tuple[tuple[int, int], ...]:
        """Pairs of an input and an output that every kernel takes at one address: a state and what it becomes."""
        return ()

    def macs(self, node: Node) -> int:
        """Multiply-accumulates of one inference; 0 where the operator has none."""
        return 0


@functools.cache
def operators() -> Mapping[str, Operator]:
    """Every operator by its IR name."""
    found: dict[str, Operator] = {}
    package = importlib.import_module("edgeprune.ops")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_") or info.name == "base":
            continue
        operator: Operator = importlib.import_module(f"edgeprune.ops.{info.name}").OPERATOR
        assert operator.name not in found, operator.name
        found[operator.name] = operator
    return MappingProxyType(found)


@functools.cache
def operators_by_onnx_type() -> Mapping[str, Operator]:
    """The operator that lowers each ONNX operator type."""
    return MappingProxyType(
        {onnx: operator for operator in operators().values() for onnx in operator.onnx_types}
    )


def operator_for(node: Node) -> Operator:
    """The operator of an IR node."""
    return operators()[node.op]
