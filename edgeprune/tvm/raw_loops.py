"""Lowered loops over typed pointers, as TVM's LLVM back end takes them, equal in what they compute to the printed C.

The rewriting does what `c_source` does in printing: parameters are pointers, large buffers lie in the scratch, products
that are added are fused, sums start at their bias, and functions are those of the C library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.tvm.biases import flat, inside, starting_values, variables
from edgeprune.tvm.helpers import MATH_CALLS
from edgeprune.tvm.storage import Scratch

__all__ = ["raw_loops"]

_OPERATIONS = ("fabs", "sqrt")
"""Functions that LLVM has an operation for, and cores with an FPU an instruction."""
_KEPT = (
    *("if_then_else", "likely", "shift_left", "shift_right"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"),
)
"""What LLVM's back end takes as it is."""


def raw_loops(function: Any, symbol: str, stored: Mapping[int, str]) -> Any:
    """The lowered PrimFunc `function` as one called `symbol` over pointers, behind them its scratch where it has any.

    Args:
        function: Plain loops; see `lowering.lower`.
        symbol: What linkers are to know it by.
        stored: Types of parameters that hold narrower integers than it computes with, by position.

    Raises:
        UsageError: it calls what only TVM's runtime has.
    """
    return _Rewriter(symbol).function(function, stored)


class _Rewriter:
    """One function."""

    def __init__(self, symbol: str) -> None:
        from tvm import ir, tirx

        self.ir, self.tirx, self.symbol = ir, tirx, symbol
        self.retyped: dict[int, Any] = {}
        """Buffers of narrower elements, by the hash of the one that each stands for."""
        self.starts: dict[tuple[int, int], Any] = {}
        self.bound: set[int] = set()
        self.base = tirx.Var("scratch", ir.PointerType(ir.PrimType("uint8")))
        self.scratch = Scratch()

    def function(self, function: Any, stored: Mapping[int, str]) -> Any:
        tirx = self.tirx
        pointers, statements = [], []
        for position, parameter in enumerate(function.params):
            buffer = self._as_stored(parameter, stored.get(position))
            pointers.append(tirx.Var(f"{parameter.name}_at", self.ir.PointerType(buffer.ty.dtype)))
            statements.append(tirx.DeclBuffer(buffer, data=pointers[-1]))
            self.bound.add(hash(parameter))
        statements.append(self._statement(function.body))
        if self.scratch.bytes:
            pointers.append(self.base)
        raw = tirx.PrimFunc(pointers, tirx.SeqStmt(statements), None, None)
        return raw.with_attr({"global_symbol": self.symbol, "tirx.noalias": True})

    def _as_stored(self, buffer: Any, dtype: str | None) -> Any:
        """`buffer` or, where its elements are stored as another `dtype`, the one that is in its place."""
        if dtype is None:
            return buffer
        self.retyped[hash(buffer)] = self.tirx.decl_buffer(buffer.ty.shape, dtype, buffer.name)
        return self.retyped[hash(buffer)]

    def _statement(self, node: Any) -> Any:
        tirx, kind = self.tirx, type(node).__name__
        if kind == "SeqStmt":
            return self._sequence(node)
        if kind == "For":
            self.bound.add(hash(node.loop_var))
            ends = self._value(node.min), self._value(node.extent)
            return tirx.For(node.loop_var, *ends, tirx.ForKind.SERIAL, self._statement(node.body))
        if kind == "IfThenElse":
            otherwise = None if node.else_case is None else self._statement(node.else_case)
            return tirx.IfThenElse(self._value(node.condition), self._statement(node.then_case), otherwise)
        if kind == "While":
            return tirx.While(self._value(node.condition), self._statement(node.body))
        if kind == "Bind":
            self.bound.add(hash(node.var))
            return tirx.Bind(node.var, self._value(node.value))
        if kind == "BufferStore":
            return self._store(node)
        if kind == "AllocBuffer":
            return self._allocated(node)
        if kind == "DeclBuffer":
            return self._declared(node)
        if kind == "AttrStmt":
            return self._statement(node.body)
        if kind in ("Evaluate", "AssertStmt"):  # shapes are static, so what TVM asserts holds
            return tirx.Evaluate(tirx.const(0, "int32"))
        raise UsageError(f"TVM's {self.symbol} uses {kind}, which has no form without its runtime")

    def _sequence(self, node: Any) -> Any:
        """A sequence, what it binds to plain indices first: sums may start at what such an index leads to."""
        outer, statements = self.starts, list(flat(node))
        first = []
        for part in statements:
            if (
                type(part).__name__ == "Bind"
                and variables(part.value) <= self.bound
                and not _loads(part.value)
            ):
                self.bound.add(hash(part.var))
                first.append(part)
        self.starts = outer | starting_values(statements, frozenset(self.bound))
        early = {hash(part.var) for part in first}
        others = [p for p in statements if type(p).__name__ != "Bind" or hash(p.var) not in early]
        rewritten = [self._statement(part) for part in (*first, *others)]
        self.starts = outer
        return self.tirx.SeqStmt(rewritten) if len(rewritten) > 1 else rewritten[0]

    def _store(self, node: Any) -> Any:
        value = node.value
        if type(value).__name__ == "FloatImm" and len(node.indices):
            value = self.starts.get((hash(node.buffer), self._number(node.indices[0])), value)
        return self.tirx.BufferStore(node.buffer, self._value(value), [self._value(i) for i in node.indices])

    def _number(self, index: Any) -> int:
        """The value of an index that is a literal; -1, which none is, of any other."""
        return int(index.value) if type(index).__name__ == "IntImm" else -1

    def _allocated(self, node: Any) -> Any:
        offset = self.scratch.place(node.buffer)
        if offset is None:
            return node
        place = self.tirx.op.handle_add_byte_offset(self.base, self.tirx.const(offset, "int32"))
        return self.tirx.DeclBuffer(node.buffer, data=place)

    def _declared(self, node: Any) -> Any:
        """Another shape of a buffer, of the same elements."""
        source = node.data.args[0] if hasattr(node.data, "args") else node.data
        stored = self.retyped.get(hash(source))
        if stored is None:
            return node
        buffer = self._as_stored(node.buffer, str(stored.ty.dtype))
        return self.tirx.DeclBuffer(buffer, data=stored.data)

    def _value(self, node: Any) -> Any:
        tirx, kind = self.tirx, type(node).__name__
        if kind in ("Var", "IntImm", "FloatImm", "StringImm"):
            return node
        if kind == "TensorLoad":
            return self._load(node)
        if kind == "Cast":
            return tirx.Cast(str(node.ty), self._value(node.value))
        if kind == "Select":
            parts = node.condition, node.true_value, node.false_value
            return tirx.Select(*(self._value(part) for part in parts))
        if kind == "Not":
            return tirx.Not(self._value(node.a))
        if kind == "Call":
            return self._call(node)
        if kind == "Add":
            return self._sum(node)
        if hasattr(node, "a") and hasattr(node, "b"):
            return type(node)(self._value(node.a), self._value(node.b))
        raise UsageError(f"TVM's {self.symbol} uses {kind}, which has no form without its runtime")

    def _load(self, node: Any) -> Any:
        stored = self.retyped.get(hash(node.source))
        indices = [self._value(index) for index in node.indices]
        if stored is None:
            return self.tirx.BufferLoad(node.source, indices)
        return self.tirx.Cast(str(node.source.ty.dtype), self.tirx.BufferLoad(stored, indices))

    def _sum(self, node: Any) -> Any:
        for loaded, other in ((node.a, node.b), (node.b, node.a)):
            if type(loaded).__name__ == "TensorLoad" and len(loaded.indices):
                start = self.starts.get((hash(loaded.source), self._number(loaded.indices[0])))
                if start is not None and start.same_as(other):
                    return self._value(loaded)
        if str(node.ty) == "float32":
            for product, addend in ((node.b, node.a), (node.a, node.b)):
                if type(product).__name__ == "Mul":
                    return self._fused(product.a, product.b, addend)
        return self.tirx.Add(self._value(node.a), self._value(node.b))

    def _fused(self, *parts: Any) -> Any:
        values = [self._value(part) for part in parts]
        return self.tirx.op.call_llvm_pure_intrin("float32", "llvm.fma", *values)

    def _call(self, node: Any) -> Any:
        tirx, stem = self.tirx, str(node.op.name).rpartition(".")[2]
        args = list(node.args)
        if stem == "call_pure_extern":
            stem, args = str(args[0].value), args[1:]
        values = [self._value(arg) for arg in args]
        dtype = str(node.ty)
        if stem in _KEPT:
            return self.ir.Call(node.op, values, ret_ty=node.ty)
        if stem == "ret":
            return values[0]
        if stem in ("isnan", "isinf", "isfinite"):
            return self._tested(stem, values[0])
        if stem == "rsqrt":
            return tirx.const(1.0, dtype) / self._function("sqrt", dtype, values)
        if stem == "sigmoid":
            one = tirx.const(1.0, dtype)
            return one / (one + self._function("exp", dtype, [tirx.const(0.0, dtype) - values[0]]))
        name = MATH_CALLS.get(stem)
        if name is None or not dtype.startswith("float"):
            raise UsageError(f"TVM's {self.symbol} calls {stem} on {dtype}, which only its runtime has")
        return self._function(name, dtype, values)

    def _function(self, name: str, dtype: str, values: list[Any]) -> Any:
        """A function of the C library's, by math.h's name without the suffix of its type."""
        if name in _OPERATIONS:
            return self.tirx.op.call_llvm_pure_intrin(dtype, f"llvm.{name}", *values)
        suffix = "f" if dtype == "float32" else ""
        return self.tirx.op.call_pure_extern(dtype, f"{name}{suffix}", *values)

    def _tested(self, stem: str, value: Any) -> Any:
        """C's isnan, isinf and isfinite in comparisons."""
        if stem == "isnan":
            return self.tirx.NE(value, value)
        dtype = str(value.ty)
        magnitude = self._function("fabs", dtype, [value])
        infinity = self.tirx.const(float("inf"), dtype)
        return (self.tirx.EQ if stem == "isinf" else self.tirx.LT)(magnitude, infinity)


def _loads(value: Any) -> bool:
    """Whether `value` reads memory."""
    return any(type(node).__name__ == "TensorLoad" for node in inside(value))
