"""Which stored tensor stands for each float value of a QDQ model.

A float value and the integers it is quantised to are one tensor of the IR, its *slot*. QuantizeLinear names the
slot's scale; where an exporter left a value between two operators without one, it follows from a neighbour:
data movement keeps its input's, a clamp's input may be stored at its output's (values the clamp would cut are
cut by saturation instead, and rounding is monotone, so the result is the same). `functions` finds scales for
what then still needs one. Anything else is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array, Quant
from edgeprune.ops.base import operators_by_onnx_type

__all__ = ["FLOATS", "Slots", "as_stored", "constant_of", "stored_constant", "stored_constant_input"]

_CLAMPS = ("Relu", "Clip")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, None)
_STORED = (ir.DataType.INT8, ir.DataType.UINT8)


def constant_of(value: ir.Value | None) -> Array | None:
    """The array of a constant value, else None."""
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())


def quant_of(node: ir.Node) -> Quant:
    """The parameters of a QuantizeLinear or DequantizeLinear node, for int8 storage.

    Raises:
        UsageError: the parameters are computed, or the stored type is not 8 bits (32 for a bias).
    """
    scale = constant_of(node.inputs[1])
    zero_input = node.inputs[2] if len(node.inputs) > 2 else None
    zero = constant_of(zero_input)
    if scale is None or (zero_input is not None and zero is None):
        raise UsageError(f"{node.op_type} node {_label(node)!r} computes its scale; it must be a constant")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise UsageError(f"{node.op_type} node {_label(node)!r} has a scale that is not a positive number")
    stored = zero.dtype if zero is not None else _stored_type(node)
    if stored not in (np.int8, np.uint8, np.int32):
        raise UsageError(
            f"{node.op_type} node {_label(node)!r} stores {stored}; int8 and uint8 are supported"
        )
    zero = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    if stored == np.uint8:
        zero = zero - 128
    zeros = tuple(int(z) for z in np.broadcast_to(np.ravel(zero), np.size(scale)))
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    return Quant(tuple(float(s) for s in np.ravel(scale)), zeros, axis if np.size(scale) > 1 else None)


def stored_constant(node: ir.Node) -> tuple[Array, Quant] | None:
    """The stored integers and parameters of a constant behind DequantizeLinear `node`; None if computed.

    uint8 becomes int8 exactly. Integers whose zero point is not 0 are moved to zero point 0, as int8 if they
    fit, else as int16.
    """
    quant = quant_of(node)
    source = node.inputs[0]
    array = constant_of(source)
    if array is None:
        producer = source.producer() if source is not None else None
        real = (
            constant_of(producer.inputs[0])
            if producer is not None and producer.op_type == "QuantizeLinear"
            else None
        )
        if producer is None or real is None:
            return None
        inner = quant_of(producer)
        array = np.clip(
            np.rint(real / _along(inner.scale, inner, real)) + _along(inner.zero_point, inner, real),
            -128,
            127,
        )
        array = array.astype(np.int8)
    if array.dtype == np.uint8:
        array = (array.astype(np.int16) - 128).astype(np.int8)
    if quant.axis is not None and quant.axis < 0:
        quant = Quant(quant.scale, quant.zero_point, quant.axis + array.ndim)
    if any(quant.zero_point):
        moved = array.astype(np.int32) - _along(quant.zero_point, quant, array)
        fits = moved.size == 0 or (moved.min() >= -128 and moved.max() <= 127)
        array = moved.astype(np.int8 if fits else np.int16)
        quant = Quant(quant.scale, (0,) * len(quant.scale), quant.axis)
    return array, quant


def as_stored(array: Array, quant: Quant) -> tuple[Array, Quant] | None:
    """A constant of 8-bit integers beside activations stored at `quant`, as int8; None for other types.

    `quant` is that of int8 storage, to which uint8 is moved.
    """
    if array.dtype == np.uint8:
        return (array.astype(np.int16) - 128).astype(np.int8), quant
    return (array, quant) if array.dtype == np.int8 else None


def _along(values: tuple[float, ...] | tuple[int, ...], quant: Quant, array: Array) -> Array:
    shape = [1] * array.ndim
    if quant.axis is not None:
        shape[quant.axis] = -1
        return np.asarray(values).reshape(shape)
    return np.asarray(values[0])


def _stored_type(node: ir.Node) -> np.dtype[np.generic]:
    if node.op_type == "DequantizeLinear" and node.inputs[0] is not None and node.inputs[0].dtype is not None:
        return np.dtype(node.inputs[0].dtype.numpy())
    return np.dtype(np.uint8)


def _label(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


class Slots:
    """The slot of every activation: which value's name it carries, and its parameters."""

    def __init__(self, model: ir.Model) -> None:
        self._quant: dict[ir.Value, Quant] = {}
        self._root: dict[ir.Value, ir.Value] = {}
        for node in model.graph:
            if node.op_type == "QuantizeLinear":
                self._quantize(node)
            elif node.op_type == "DequantizeLinear" and stored_constant_input(node):
                continue
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
        self.propagate(model)

    def root(self, value: ir.Value) -> ir.Value:
        """The value whose slot stores `value`."""
        while value in self._root:
            value = self._root[value]
        return value

    def quant(self, value: ir.Value) -> Quant | None:
        """The parameters at which `value` is stored; None for integers that are not quantised."""
        return self._quant.get(self.root(value))

    def _quantize(self, node: ir.Node) -> None:
        source, result = node.inputs[0], node.outputs[0]
        if source is None or constant_of(source) is not None:
            return
        quant, root = quant_of(node), self.root(source)
        if quant.axis is not None:
            raise UsageError(
                f"activation {source.name!r} is quantised per channel; one scale per tensor is supported"
            )
        if self._quant.setdefault(root, quant) == quant:
            self._root[result] = root
        else:
            self._quant[result] = quant

    def _dequantize(self, node: ir.Node) -> None:
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        self._quant.setdefault(self.root(source), quant_of(node))
        self._root[result] = self.root(source)

    def propagate(self, model: ir.Model) -> None:
        """Hand known parameters on through data movement and back through clamps."""
        changed = True
        while changed:
            changed = any(self._propagate_through(node) for node in model.graph)

    def _propagate_through(self, node: ir.Node) -> bool:
        operator = operators_by_onnx_type().get(node.op_type)
        if operator is None:
            return False
        # Data movement runs on stored integers too, as QLinear models have it.
        types = (*FLOATS, *_STORED) if operator.keeps_quant else FLOATS
        inputs = [v for v in node.inputs if v is not None and constant_of(v) is None and v.dtype in types]
        outputs = [v for v in node.outputs if v.dtype in types]
        known = [q for q in (self.quant(v) for v in [*inputs[:1], *outputs, *inputs[1:]]) if q is not None]
        missing = [v for v in [*inputs, *outputs] if self.quant(v) is None]
        if not missing:
            return False
        if operator.keeps_quant and known:
            return self._assign(missing, known[0])
        if node.op_type in _CLAMPS and self.quant(node.outputs[0]) and len(inputs) == 1:
            quant = self.quant(node.outputs[0])
            if quant is not None and len(inputs[0].uses()) == 1:
                return self._assign(inputs, quant)
        return False

    def assign(self, values: Iterable[ir.Value], quant: Quant) -> None:
        """Store those of `values` that have no parameters yet at `quant`."""
        self._assign(list(values), quant)

    def _assign(self, values: list[ir.Value], quant: Quant) -> bool:
        fresh = [self.root(v) for v in values if self.quant(v) is None]
        self._quant.update(dict.fromkeys(fresh, quant))
        return bool(fresh)


def stored_constant_input(node: ir.Node) -> bool:
    """Whether DequantizeLinear `node` stands before a constant."""
    source = node.inputs[0]
    if constant_of(source) is not None:
        return True
    producer = source.producer() if source is not None else None
    return (
        producer is not None
        and producer.op_type == "QuantizeLinear"
        and constant_of(producer.inputs[0]) is not None
    )
