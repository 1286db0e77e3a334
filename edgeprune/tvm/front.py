"""ONNX to loop nests: Relax imports, legalises and fuses; what remains is a list of calls.

Relax names are not unique, so values are told apart by identity, never by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array
from edgeprune.tvm.expand import expanded, must_expand
from edgeprune.tvm.importable import importable
from edgeprune.tvm.resize import without_resize
from edgeprune.tvm.routine import Role

if TYPE_CHECKING:
    import onnx

__all__ = ["LoopCall", "Loops", "Value", "kinds_of", "loops_of"]

_CONVERSIONS = ("Cast", "DequantizeLinear", "QuantizeLinear")
_RESHAPES = ("relax.reshape", "relax.memory.view")


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the subgraph: an input, an output, a constant or a temporary, with its number among those."""

    role: Role
    index: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class LoopCall:
    """A loop nest (its name among `Loops.functions`) with what it reads and writes."""

    function: str
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Loops:
    """A subgraph as calls of loop nests, which are TVM's PrimFuncs by name.

    `copies` are outputs that are an input or a constant, or another output, under another name.
    """

    functions: dict[str, Any]
    calls: tuple[LoopCall, ...]
    constants: tuple[Array, ...]
    temporaries: tuple[Value, ...]
    inputs: tuple[Value, ...]
    copies: tuple[tuple[Value, Value], ...]


def loops_of(model: onnx.ModelProto) -> Loops:
    """The loop nests of an ONNX model of few nodes with static shapes; what TVM lacks is taken apart.

    Raises:
        UsageError: TVM has no form of an operator, nor has ONNX a definition of it by others.
    """
    kinds = kinds_of(model)
    model = without_resize(importable(model))
    try:
        if not must_expand(model):
            return _imported(model, kinds)
    except UsageError:
        apart = expanded(model)
        if apart is None:
            raise
        return _imported(importable(apart), kinds)
    apart = expanded(model)
    assert apart is not None
    return _imported(importable(apart), kinds)


def kinds_of(model: onnx.ModelProto) -> str:
    """The operators of `model` in words, less conversions beside others."""
    kinds = dict.fromkeys(node.op_type for node in model.graph.node)
    return " and ".join([kind for kind in kinds if kind not in _CONVERSIONS] or kinds)


def _imported(model: onnx.ModelProto, kinds: str) -> Loops:
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    try:
        module = from_onnx(model, keep_params_in_input=False)
        with tvm.target.Target({"kind": "c"}):
            module = _passes()(module)
    except Exception as error:  # the importer and the passes raise types of their own, assertions included
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"TVM has no form of {kinds}: {lines[-1].strip()[:200]}") from error
    return _Walk(module, kinds).loops()


def _passes() -> Any:
    import tvm
    from tvm.relax import transform

    return tvm.transform.Sequential(
        [
            transform.DecomposeOpsForInference(),
            transform.LegalizeOps(),
            transform.AnnotateTIROpPattern(),
            transform.FoldConstant(),
            transform.FuseOps(),
            transform.FuseTIR(),
            transform.DeadCodeElimination(),
            transform.RewriteDataflowReshape(),
        ]
    )


class _Walk:
    """The bindings of `main`, one after another."""

    def __init__(self, module: Any, kinds: str) -> None:
        self.module, self.main, self.kinds = module, module["main"], kinds
        self.values: dict[int, Value | tuple[Any, ...]] = {}
        self.constants: dict[tuple[bytes, str, tuple[int, ...]], Value] = {}
        self.arrays: list[Array] = []
        self.temporaries: list[Value] = []
        self.calls: list[LoopCall] = []
        self.inputs: list[Value] = []

    def loops(self) -> Loops:
        """Everything that `main` does."""
        for index, parameter in enumerate(self.main.params):
            self.inputs.append(Value(Role.INPUT, index, _shape(parameter.ty), str(parameter.ty.dtype)))
            self.values[hash(parameter)] = self.inputs[-1]
        for block in self.main.body.blocks:
            for binding in block.bindings:
                self.values[hash(binding.var)] = self._bound(binding.value, binding.var.ty)
        results = self._flat(self.main.body.body)
        return self._with_outputs(results)

    def _bound(self, value: Any, ty: Any) -> Value | tuple[Any, ...]:
        kind = type(value).__name__
        if kind in ("Var", "DataflowVar", "GenericConst"):
            return self._value(value)
        if kind == "Tuple":
            return tuple(self._value(field) for field in value.fields)
        if kind == "TupleGetItem":
            whole = self._value(value.tuple_value)
            assert isinstance(whole, tuple)
            return whole[value.index]  # type: ignore[no-any-return]
        name = getattr(value.op, "name", "")
        if name == "relax.call_tir":
            return self._call(value, ty)
        if name in _RESHAPES:
            return self._value(value.args[0])
        raise UsageError(
            f"TVM leaves {name or value.op} of {self.kinds} to its runtime, which no library has"
        )

    def _call(self, value: Any, ty: Any) -> Value | tuple[Any, ...]:
        reads = tuple(self._single(field) for field in value.args[1].fields)
        several = hasattr(ty, "fields")
        writes = tuple(self._temporary(one) for one in (ty.fields if several else [ty]))
        self.calls.append(LoopCall(str(value.args[0].name_hint), reads, writes))
        return writes if several else writes[0]

    def _temporary(self, ty: Any) -> Value:
        self.temporaries.append(Value(Role.TEMPORARY, len(self.temporaries), _shape(ty), str(ty.dtype)))
        return self.temporaries[-1]

    def _value(self, value: Any) -> Value | tuple[Any, ...]:
        if type(value).__name__ == "GenericConst":
            return self._constant(value.value.numpy())
        if type(value).__name__ == "Tuple":
            return tuple(self._value(field) for field in value.fields)
        return self.values[hash(value)]

    def _single(self, value: Any) -> Value:
        found = self._value(value)
        assert isinstance(found, Value)
        return found

    def _constant(self, array: Array) -> Value:
        key = (array.tobytes(), array.dtype.name, array.shape)
        if key not in self.constants:
            self.constants[key] = Value(Role.CONSTANT, len(self.arrays), array.shape, array.dtype.name)
            self.arrays.append(array)
        return self.constants[key]

    def _flat(self, value: Any) -> Sequence[Value]:
        found = self._value(value)
        return [found] if isinstance(found, Value) else list(found)

    def _with_outputs(self, results: Sequence[Value]) -> Loops:
        """The temporaries that are results become outputs, in place."""
        renamed: dict[int, Value] = {}
        copies = []
        for index, result in enumerate(results):
            output = Value(Role.OUTPUT, index, result.shape, result.dtype)
            if result.role is Role.TEMPORARY and id(result) not in renamed:
                renamed[id(result)] = output
            else:
                copies.append((renamed.get(id(result), result), output))
        calls = tuple(
            LoopCall(
                call.function,
                tuple(renamed.get(id(value), value) for value in call.reads),
                tuple(renamed.get(id(value), value) for value in call.writes),
            )
            for call in self.calls
        )
        functions = {gv.name_hint: f for gv, f in self.module.functions.items() if gv.name_hint != "main"}
        kept = tuple(value for value in self.temporaries if id(value) not in renamed)
        return Loops(functions, calls, tuple(self.arrays), kept, tuple(self.inputs), tuple(copies))


def _shape(ty: Any) -> tuple[int, ...]:
    if not all(type(extent).__name__ in ("IntImm", "int") for extent in ty.shape):
        raise UsageError("TVM does not know the shape of a value that depends on data: make that a constant")
    return tuple(int(extent) for extent in ty.shape)
