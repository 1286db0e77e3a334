"""Expressions of plain loops as C, and what each takes.

Products that are added become `fmaf`, so that a core with fused multiply-add uses it whatever the compiler's rules
for contraction, and the host rounds as it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.tvm.c_terms import (
    ATOM,
    BINARY,
    BITWISE,
    BOTH,
    CHOICE,
    CTYPES,
    EITHER,
    EQUAL,
    NARROW,
    ORDER,
    PRODUCT,
    SUM,
    integer,
    real,
)
from edgeprune.tvm.helpers import HELPERS, MATH_CALLS

__all__ = ["Expressions", "Scope", "Tally"]

_RELU = "PREFIX_relu_float32"
_COSTS = MappingProxyType({"Div": 1.0, "Mod": 3.0})
_CALL_COST, _FUNCTION_COST = 70.0, 12.0


@dataclass
class Scope:
    """What a function's names stand for: `names` and `inlined` by the hash of a variable or buffer."""

    function: str
    names: dict[int, str] = field(default_factory=dict)
    inlined: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Short indices, written out where they are used, and how strongly they bind."""
    locals: set[str] = field(default_factory=set)
    """Arrays on the stack."""
    narrow: set[str] = field(default_factory=set)
    """Arrays of narrower integers than are computed with."""
    starts: dict[tuple[int, int], Any] = field(default_factory=dict)
    """What accumulators start at, by hash of their buffer and index."""
    helpers: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def fresh(self, wanted: str) -> str:
        """A name like `wanted` that nothing else has."""
        stem = re.sub(r"\W", "_", wanted)
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        return name

    def bound(self) -> frozenset[int]:
        """Hashes of everything that has a name."""
        return frozenset(self.names) | frozenset(self.inlined)


@dataclass
class Tally:
    """Instructions of a run and of the code; `times` is how often the statement at hand runs."""

    times: float = 1.0
    instructions: float = _FUNCTION_COST
    static: float = _FUNCTION_COST
    addresses: set[str] = field(default_factory=set)

    def count(self, instructions: float) -> None:
        """So many instructions at this place."""
        self.instructions += instructions * self.times
        self.static += instructions

    def is_new(self, address: str) -> bool:
        """Whether `address` was not yet computed in the loop at hand; from now on it is."""
        known = address in self.addresses
        self.addresses.add(address)
        return not known

    @contextmanager
    def repeated(self, times: float) -> Iterator[None]:
        """What follows runs `times` as often."""
        outer, addresses = self.times, self.addresses
        self.times, self.addresses = outer * times, set()
        yield
        self.times, self.addresses = outer, addresses

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What follows takes nothing by itself."""
        before = self.instructions, self.static
        yield
        self.instructions, self.static = before


class Expressions:
    """Nodes as C, by what `scope` calls things; `tally` counts them."""

    def __init__(self, scope: Scope, tally: Tally) -> None:
        self.scope, self.tally = scope, tally

    def element(self, buffer: Any, indices: Any) -> str:
        """An element of `buffer`, which is flat, to be read or written."""
        name = self.scope.names[hash(buffer)]
        index = "0" if not len(indices) else None
        assert index or len(indices) == 1, "buffers are flat"
        with self.tally.uncounted():
            index = index or self.text(indices[0])
        if name not in self.scope.locals:
            self.tally.count(1.0)
            address = f"{name}[{re.sub(r' [+-] [0-9]+$', '', index)}"
            if not index.isdigit() and self.tally.is_new(address):
                self.tally.count(1.0)
        elif not index.isdigit():
            self.tally.count(2.0)
        return f"{name}[{index}]"

    def text(self, node: Any, least: int = CHOICE) -> str:
        """`node` as C, in parentheses where it binds less than `least`."""
        text, binding = self.expression(node)
        return text if binding >= least else f"({text})"

    def expression(self, node: Any) -> tuple[str, int]:
        """`node` as C, and how strongly it binds."""
        kind = type(node).__name__
        if kind in BINARY:
            return self._binary(node, kind)
        method: Callable[[Any], tuple[str, int]] = getattr(self, f"_of_{kind}", self.refuse)
        return method(node)

    def refuse(self, node: Any) -> Any:
        """Say what has no form.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"TVM's {self.scope.function} uses {type(node).__name__}, which has no form in C")

    def _binary(self, node: Any, kind: str) -> tuple[str, int]:
        dtype = str(node.ty)
        if kind == "Add":
            for loaded, other in ((node.a, node.b), (node.b, node.a)):
                if self._starts_at(loaded, other):
                    return self.expression(loaded)
        if kind == "Add" and dtype == "float32":
            for product, other in ((node.b, node.a), (node.a, node.b)):
                if type(product).__name__ == "Mul":
                    return self._fused(product.a, product.b, other)
        sign, binding = BINARY[kind]
        self.tally.count(_COSTS.get(kind, 1.0))
        text = self._joined(node.a, node.b, sign, binding)
        if dtype in NARROW:
            return f"({CTYPES[dtype]})({text})", ATOM
        return text, binding

    def _starts_at(self, loaded: Any, value: Any) -> bool:
        """Whether `loaded` is a sum that started at `value`."""
        if type(loaded).__name__ != "TensorLoad" or type(loaded.indices[0]).__name__ != "IntImm":
            return False
        start = self.scope.starts.get((hash(loaded.source), int(loaded.indices[0].value)))
        return start is not None and bool(start.same_as(value))

    def _joined(self, a: Any, b: Any, sign: str, binding: int) -> str:
        """Both operands, in more parentheses than C asks for where compilers would warn without."""
        if binding in (PRODUCT, SUM, ORDER, EQUAL):
            return f"{self.text(a, binding)} {sign} {self.text(b, binding + 1)}"
        least = EQUAL if binding in (BOTH, EITHER) else ATOM
        return f"{self.text(a, least)} {sign} {self.text(b, least)}"

    def _fused(self, a: Any, b: Any, addend: Any) -> tuple[str, int]:
        self.tally.count(1.0)
        return f"fmaf({self.text(a)}, {self.text(b)}, {self.text(addend)})", ATOM

    def _of_Var(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self.scope.inlined.get(hash(node)) or (self.scope.names[hash(node)], ATOM)

    def _of_TensorLoad(self, node: Any) -> tuple[str, int]:  # noqa: N802
        text = self.element(node.source, node.indices)
        dtype = str(node.source.ty.dtype)
        if dtype == "bool":
            return f"{text} != 0", EQUAL
        if dtype == "int64" and self.scope.names[hash(node.source)] in self.scope.narrow:
            return f"(int64_t){text}", ATOM
        return text, ATOM

    def _of_IntImm(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return integer(int(node.value), str(node.ty))

    def _of_FloatImm(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return real(float(node.value), str(node.ty))

    def _of_Cast(self, node: Any) -> tuple[str, int]:  # noqa: N802
        source, target = str(node.value.ty), str(node.ty)
        self.tally.count(1.0)
        if target == "bool":
            return f"{self.text(node.value, EQUAL + 1)} != 0", EQUAL
        if source.startswith("float") and "int" in target:
            self.tally.count(2.0)
        return f"({CTYPES[target]}){self.text(node.value, ATOM)}", ATOM

    def _of_Select(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._choice(node.condition, node.true_value, node.false_value)

    def _choice(self, condition: Any, yes: Any, no: Any) -> tuple[str, int]:
        self.tally.count(3.0)
        texts = self.text(condition, CHOICE + 1), self.text(yes, CHOICE + 1), self.text(no, CHOICE)
        return f"{texts[0]} ? {texts[1]} : {texts[2]}", CHOICE

    def _of_Not(self, node: Any) -> tuple[str, int]:  # noqa: N802
        self.tally.count(1.0)
        return f"!{self.text(node.a, ATOM)}", ATOM

    def _of_Max(self, node: Any) -> tuple[str, int]:  # noqa: N802
        zero = type(node.b).__name__ == "FloatImm" and float(node.b.value) == 0.0
        if zero and str(node.ty) == "float32":
            self.tally.count(2.0)
            self.scope.helpers[_RELU] = HELPERS["relu"](_RELU, "float")
            return f"{_RELU}({self.text(node.a)})", ATOM
        return self._helped("max", node)

    def _of_Min(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("min", node)

    def _of_FloorDiv(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("floordiv", node)

    def _of_FloorMod(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("floormod", node)

    def _helped(self, stem: str, node: Any) -> tuple[str, int]:
        self.tally.count(4.0)
        name = self._helper(stem, str(node.ty))
        return f"{name}({self.text(node.a)}, {self.text(node.b)})", ATOM

    def _helper(self, stem: str, dtype: str) -> str:
        name = f"PREFIX_{stem}_{dtype}"
        self.scope.helpers[name] = HELPERS[stem](name, CTYPES[dtype])
        return name

    def _of_Call(self, node: Any) -> tuple[str, int]:  # noqa: N802
        stem, args = str(node.op.name).rpartition(".")[2], list(node.args)
        if stem == "call_pure_extern":
            stem, args = str(args[0].value), args[1:]
        if stem == "if_then_else":
            return self._choice(*args)
        if stem in ("likely", "ret"):
            return self.expression(args[0])
        if stem in BITWISE:
            sign, binding = BITWISE[stem]
            self.tally.count(1.0)
            return self._joined(args[0], args[1], sign, binding), binding
        if stem in ("isnan", "isinf", "isfinite"):
            self.tally.count(3.0)
            return f"{stem}({self.text(args[0])})", ATOM
        if stem == "bitwise_not":
            return f"~{self.text(args[0], ATOM)}", ATOM
        dtype = str(args[0].ty)
        if stem in HELPERS:
            self.tally.count(_CALL_COST)
            return f"{self._helper(stem, dtype)}({', '.join(map(self.text, args))})", ATOM
        function = MATH_CALLS.get(stem)
        if function is None or not dtype.startswith("float"):
            raise UsageError(f"TVM's {self.scope.function} calls {stem} on {dtype}, which has no form in C")
        self.tally.count(1.0 if stem in ("sqrt", "sqrtf", "fabs", "fabsf") else _CALL_COST)
        suffix = "f" if dtype == "float32" else ""
        return f"{function}{suffix}({', '.join(map(self.text, args))})", ATOM
