"""Plain loops printed as C99, in one walk that also estimates what they take.

Products that are added become `fmaf`, so that a core with fused multiply-add uses it whatever the compiler's rules
for contraction, and the host rounds as it does. Values that the arena holds are read and written through types that
may alias anything. Local buffers of a few elements are accumulators: C arrays, which compilers keep in registers. Any
larger one lies in the step's scratch, never on the stack. A function is kept apart from the layer that calls it, where
compilers would find fewer registers for its sums.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.tvm.biases import flat, starting_values, variables
from edgeprune.tvm.edges import edged
from edgeprune.tvm.helpers import HELPERS, MATH_CALLS

__all__ = ["CSource", "c_source"]

_LOCAL_BYTES = 256
_UNROLLED = 8
"""Copies up to which the part of a row that is inside is written out: a call of memcpy would take longer."""
_SHORT = 24
"""Of an index that is written out wherever it is used, rather than named."""
_ALIGN = 8
_CTYPES = MappingProxyType(
    {
        "float32": "float",
        "float64": "double",
        "int8": "int8_t",
        "uint8": "uint8_t",
        "int16": "int16_t",
        "uint16": "uint16_t",
        "int32": "int32_t",
        "uint32": "uint32_t",
        "int64": "int64_t",
        "uint64": "uint64_t",
        "bool": "uint8_t",
    }
)
_ALIASING = MappingProxyType(
    {"float32": "PREFIX_f32_t", "int32": "PREFIX_i32_t", "uint32": "PREFIX_u32_t", "int16": "PREFIX_i16_t"}
    | {"int64": "PREFIX_i64_t", "float64": "PREFIX_f64_t", "uint64": "PREFIX_u64_t", "uint16": "PREFIX_u16_t"}
)
_RELU = "PREFIX_relu_float32"
_NARROW = ("int8", "uint8", "int16", "uint16")
_ATOM, _PRODUCT, _SUM, _SHIFT, _ORDER, _EQUAL, _AND, _XOR, _OR, _BOTH, _EITHER, _CHOICE = range(12, 0, -1)
_BINARY: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "Add": ("+", _SUM),
        "Sub": ("-", _SUM),
        "Mul": ("*", _PRODUCT),
        "Div": ("/", _PRODUCT),
        "Mod": ("%", _PRODUCT),
        "EQ": ("==", _EQUAL),
        "NE": ("!=", _EQUAL),
        "LT": ("<", _ORDER),
        "LE": ("<=", _ORDER),
        "GT": (">", _ORDER),
        "GE": (">=", _ORDER),
        "And": ("&&", _BOTH),
        "Or": ("||", _EITHER),
        "BitwiseAnd": ("&", _AND),
        "BitwiseOr": ("|", _OR),
        "BitwiseXor": ("^", _XOR),
        "LShift": ("<<", _SHIFT),
        "RShift": (">>", _SHIFT),
    }
)
_BITWISE = MappingProxyType(
    {
        "bitwise_and": ("&", _AND),
        "bitwise_or": ("|", _OR),
        "bitwise_xor": ("^", _XOR),
        "shift_left": ("<<", _SHIFT),
        "shift_right": (">>", _SHIFT),
    }
)
_COSTS = MappingProxyType({"Div": 1.0, "Mod": 3.0})
_CALL_COST, _LOOP_COST, _BRANCH_COST, _FUNCTION_COST, _INSTRUCTION_BYTES = 70.0, 3.0, 2.0, 12.0, 3.6


@dataclass(frozen=True)
class CSource:
    """A C function; see `routine.Kernel` for its fields."""

    text: str
    helpers: tuple[tuple[str, str], ...]
    scratch_bytes: int
    instructions: float
    code_bytes: int


def c_source(function: Any, name: str, outputs: int, *, aliased: bool = False) -> CSource:
    """The lowered PrimFunc `function` as a C function; its last `outputs` parameters are written, the others read.

    `aliased` where an output may lie where an input does.

    Raises:
        UsageError: it uses what C99 has no form of.
    """
    return _Printer(name, aliased).function(function, outputs)


class _Printer:
    """One function; `lines` collects its body, `times` is how often the statement at hand runs."""

    def __init__(self, name: str, aliased: bool) -> None:
        self.name, self.aliased = name, aliased
        self.lines: list[str] = []
        self.depth = 1
        self.names: dict[int, str] = {}
        self.inlined: dict[int, tuple[str, int]] = {}
        self.taken = {name}
        self.locals: set[str] = set()
        self.helpers: dict[str, str] = {}
        self.starts: dict[tuple[int, int], Any] = {}
        self.scratch_bytes = 0
        self.times, self.instructions, self.static = 1.0, _FUNCTION_COST, _FUNCTION_COST
        self.addresses: set[str] = set()

    def function(self, function: Any, outputs: int) -> CSource:
        parameters = []
        read = len(function.params) - outputs
        for position, parameter in enumerate(function.params):
            dtype = str(parameter.ty.dtype)
            role = f"in{position}" if position < read else f"out{position - read}"
            self.names[hash(parameter)] = self._fresh(role)
            qualifier = "const " if position < read else ""
            restrict = "" if self.aliased else "restrict "
            parameters.append(f"{qualifier}{_arena_type(dtype)} *{restrict}{role}")
        self._statement(function.body)
        if self.scratch_bytes:
            parameters.append("unsigned char *scratch")
        head = _wrapped(f"static MACRO_NOINLINE void {self.name}(", parameters)
        text = "\n".join([head, "{", *self.lines, "}", ""])
        return CSource(
            text,
            tuple(self.helpers.items()),
            self.scratch_bytes,
            self.instructions,
            round(self.static * _INSTRUCTION_BYTES),
        )

    # ---- statements

    def _statement(self, node: Any) -> None:
        getattr(self, f"_do_{type(node).__name__}", self._refuse)(node)

    def _refuse(self, node: Any) -> Any:
        raise UsageError(f"TVM's {self.name} uses {type(node).__name__}, which has no form in C")

    def _do_SeqStmt(self, node: Any) -> None:  # noqa: N802
        outer, statements = self.starts, list(flat(node))
        for part in statements:
            if type(part).__name__ == "Bind" and variables(part.value) <= self._bound():
                self._inlined(part)
        self.starts = outer | starting_values(statements, self._bound())
        for part in statements:
            self._statement(part)
        self.starts = outer

    def _do_AttrStmt(self, node: Any) -> None:  # noqa: N802
        self._statement(node.body)

    def _do_AssertStmt(self, node: Any) -> None:  # noqa: N802
        """Shapes are static, so what TVM asserts holds."""

    def _do_Evaluate(self, node: Any) -> None:  # noqa: N802
        if type(node.value).__name__ != "IntImm":
            self._line(f"(void){self._text(node.value, _ATOM)};")

    def _do_AllocBuffer(self, node: Any) -> None:  # noqa: N802
        dtype = str(node.buffer.ty.dtype)
        elements = math.prod(int(extent) for extent in node.buffer.ty.shape)
        size = elements * np.dtype(dtype).itemsize
        name = self._fresh(re.sub("^T_|_intermediate", "", node.buffer.name))
        self.names[hash(node.buffer)] = name
        if size <= _LOCAL_BYTES:
            self.locals.add(name)
            self._line(f"{_CTYPES[dtype]} {name}[{elements}];")
            return
        place = f" + {self.scratch_bytes}" if self.scratch_bytes else ""
        self._line(
            f"{_arena_type(dtype)} *restrict {name} = ({_arena_type(dtype)} *)(void *)(scratch{place});"
        )
        self.scratch_bytes += -(-size // _ALIGN) * _ALIGN

    def _do_DeclBuffer(self, node: Any) -> None:  # noqa: N802
        source = node.data.args[0] if hasattr(node.data, "args") else node.data
        self.names[hash(node.buffer)] = self.names[hash(source)]

    def _do_Bind(self, node: Any) -> None:  # noqa: N802
        if hash(node.var) in self.inlined or self._inlined(node):
            return
        value = self._text(node.value)
        name = self._fresh(node.var.name)
        self.names[hash(node.var)] = name
        self._line(f"const {self._ctype(node.value)} {name} = {value};")

    def _inlined(self, node: Any) -> bool:
        """Whether the Bind `node` is of a short index, which is then written out where it is used."""
        if str(node.value.ty) != "int32":
            return False
        before = self.instructions, self.static
        value, binding = self._expression(node.value)
        self.instructions, self.static = before
        if len(value) > _SHORT or "?" in value:
            return False
        self.inlined[hash(node.var)] = value, binding
        return True

    def _bound(self) -> frozenset[int]:
        return frozenset(self.names) | frozenset(self.inlined)

    def _do_For(self, node: Any) -> None:  # noqa: N802
        first, end = int(node.min), int(node.min) + int(node.extent)
        split = edged(node)
        if split is None:
            self._loop(node.loop_var, first, end, lambda: self._statement(node.body))
            return

        def stored(value: Any) -> Callable[[], None]:
            return lambda: self._store(node.body.buffer, node.body.indices, value)

        def within() -> None:
            self._loop(node.loop_var, first, split.low, stored(split.outside), split=True)
            self._loop(node.loop_var, split.low, split.high, stored(split.inside), split=True)
            self._loop(node.loop_var, split.high, end, stored(split.outside), split=True)

        if split.outer:
            self._line(f"if ({' && '.join(self._text(term, _EQUAL) for term in split.outer)}) {{")
            self._count(_BRANCH_COST)
            with self._repeated(1):
                within()
            self._line("} else {")
            times, self.times = self.times, 0.0
            with self._repeated(1):
                self._loop(node.loop_var, first, end, stored(split.outside))
            self.times = times
            self._line("}")
        else:
            within()

    def _loop(
        self, variable: Any, first: int, end: int, body: Callable[[], None], *, split: bool = False
    ) -> None:
        """A loop over `variable` or, where it runs once or is part of a `split` one and short, its body."""
        if end - first <= (_UNROLLED if split else 1):
            for at in range(first, end):
                self.names[hash(variable)] = str(at)
                body()
        else:
            name = self._fresh(variable.name)
            self.names[hash(variable)] = name
            self._line(f"for (int32_t {name} = {first}; {name} < {end}; {name}++) {{")
            self._count(3.0)
            with self._repeated(end - first):
                body()
                self._count(_LOOP_COST)
            self._line("}")

    def _do_IfThenElse(self, node: Any) -> None:  # noqa: N802
        self._line(f"if ({self._text(node.condition)}) {{")
        self._count(_BRANCH_COST)
        with self._repeated(1):
            self._statement(node.then_case)
        if node.else_case is not None:
            self._line("} else {")
            with self._repeated(1):
                self._statement(node.else_case)
        self._line("}")

    def _do_While(self, node: Any) -> None:  # noqa: N802
        self._line(f"while ({self._text(node.condition)}) {{")
        with self._repeated(8):
            self._statement(node.body)
        self._line("}")

    def _do_BufferStore(self, node: Any) -> None:  # noqa: N802
        self._store(node.buffer, node.indices, node.value)

    def _store(self, buffer: Any, indices: Any, node: Any) -> None:
        dtype = str(buffer.ty.dtype)
        if type(node).__name__ == "FloatImm" and len(indices) and type(indices[0]).__name__ == "IntImm":
            node = self.starts.get((hash(buffer), int(indices[0].value)), node)
        value = self._text(node)
        if dtype in _NARROW or dtype == "bool":
            value = f"({_CTYPES[dtype]})({value})"
        self._line(f"{self._element(buffer, indices)} = {value};")

    def _element(self, buffer: Any, indices: Any) -> str:
        name = self.names[hash(buffer)]
        index = "0" if not len(indices) else None
        assert index or len(indices) == 1, "buffers are flat"
        before = self.instructions, self.static
        index = index or self._text(indices[0])
        self.instructions, self.static = before
        if name not in self.locals:
            self._count(1.0)
            address = f"{name}[{re.sub(r' [+-] [0-9]+$', '', index)}"
            if address not in self.addresses and not index.isdigit():
                self.addresses.add(address)
                self._count(1.0)
        elif not index.isdigit():
            self._count(2.0)
        return f"{name}[{index}]"

    # ---- expressions

    def _text(self, node: Any, least: int = _CHOICE) -> str:
        """`node` as C, in parentheses where it binds less than `least`."""
        text, binding = self._expression(node)
        return text if binding >= least else f"({text})"

    def _expression(self, node: Any) -> tuple[str, int]:
        kind = type(node).__name__
        if kind in _BINARY:
            return self._binary(node, kind)
        method: Callable[[Any], tuple[str, int]] = getattr(self, f"_of_{kind}", self._refuse)
        return method(node)

    def _binary(self, node: Any, kind: str) -> tuple[str, int]:
        dtype = str(node.ty)
        if kind == "Add":
            for loaded, other in ((node.a, node.b), (node.b, node.a)):
                if self._starts_at(loaded, other):
                    return self._expression(loaded)
        if kind == "Add" and dtype == "float32":
            for product, other in ((node.b, node.a), (node.a, node.b)):
                if type(product).__name__ == "Mul":
                    return self._fused(product.a, product.b, other)
        sign, binding = _BINARY[kind]
        self._count(_COSTS.get(kind, 1.0))
        text = self._joined(node.a, node.b, sign, binding)
        if dtype in _NARROW:
            return f"({_CTYPES[dtype]})({text})", _ATOM
        return text, binding

    def _starts_at(self, loaded: Any, value: Any) -> bool:
        """Whether `loaded` is a sum that started at `value`."""
        if type(loaded).__name__ != "TensorLoad" or type(loaded.indices[0]).__name__ != "IntImm":
            return False
        start = self.starts.get((hash(loaded.source), int(loaded.indices[0].value)))
        return start is not None and bool(start.same_as(value))

    def _joined(self, a: Any, b: Any, sign: str, binding: int) -> str:
        """Both operands, in more parentheses than C asks for where compilers would warn without."""
        if binding in (_PRODUCT, _SUM, _ORDER, _EQUAL):
            return f"{self._text(a, binding)} {sign} {self._text(b, binding + 1)}"
        least = _EQUAL if binding in (_BOTH, _EITHER) else _ATOM
        return f"{self._text(a, least)} {sign} {self._text(b, least)}"

    def _fused(self, a: Any, b: Any, addend: Any) -> tuple[str, int]:
        self._count(1.0)
        return f"fmaf({self._text(a)}, {self._text(b)}, {self._text(addend)})", _ATOM

    def _of_Var(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self.inlined.get(hash(node)) or (self.names[hash(node)], _ATOM)

    def _of_TensorLoad(self, node: Any) -> tuple[str, int]:  # noqa: N802
        text = self._element(node.source, node.indices)
        if str(node.source.ty.dtype) == "bool":
            return f"{text} != 0", _EQUAL
        return text, _ATOM

    def _of_IntImm(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return _integer(int(node.value), str(node.ty))

    def _of_FloatImm(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return _real(float(node.value), str(node.ty))

    def _of_Cast(self, node: Any) -> tuple[str, int]:  # noqa: N802
        source, target = str(node.value.ty), str(node.ty)
        self._count(1.0)
        if target == "bool":
            return f"{self._text(node.value, _EQUAL + 1)} != 0", _EQUAL
        if source.startswith("float") and "int" in target:
            self._count(2.0)
        return f"({_CTYPES[target]}){self._text(node.value, _ATOM)}", _ATOM

    def _of_Select(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._choice(node.condition, node.true_value, node.false_value)

    def _choice(self, condition: Any, yes: Any, no: Any) -> tuple[str, int]:
        self._count(3.0)
        texts = self._text(condition, _CHOICE + 1), self._text(yes, _CHOICE + 1), self._text(no, _CHOICE)
        return f"{texts[0]} ? {texts[1]} : {texts[2]}", _CHOICE

    def _of_Not(self, node: Any) -> tuple[str, int]:  # noqa: N802
        self._count(1.0)
        return f"!{self._text(node.a, _ATOM)}", _ATOM

    def _of_Max(self, node: Any) -> tuple[str, int]:  # noqa: N802
        zero = type(node.b).__name__ == "FloatImm" and float(node.b.value) == 0.0
        if zero and str(node.ty) == "float32":
            self._count(2.0)
            self.helpers[_RELU] = HELPERS["relu"](_RELU, "float")
            return f"{_RELU}({self._text(node.a)})", _ATOM
        return self._helped("max", node)

    def _of_Min(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("min", node)

    def _of_FloorDiv(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("floordiv", node)

    def _of_FloorMod(self, node: Any) -> tuple[str, int]:  # noqa: N802
        return self._helped("floormod", node)

    def _helped(self, stem: str, node: Any) -> tuple[str, int]:
        self._count(4.0)
        name = self._helper(stem, str(node.ty))
        return f"{name}({self._text(node.a)}, {self._text(node.b)})", _ATOM

    def _helper(self, stem: str, dtype: str) -> str:
        name = f"PREFIX_{stem}_{dtype}"
        self.helpers[name] = HELPERS[stem](name, _CTYPES[dtype])
        return name

    def _of_Call(self, node: Any) -> tuple[str, int]:  # noqa: N802
        stem, args = str(node.op.name).rpartition(".")[2], list(node.args)
        if stem == "call_pure_extern":
            stem, args = str(args[0].value), args[1:]
        if stem == "if_then_else":
            return self._choice(*args)
        if stem in ("likely", "ret"):
            return self._expression(args[0])
        if stem in _BITWISE:
            sign, binding = _BITWISE[stem]
            self._count(1.0)
            return self._joined(args[0], args[1], sign, binding), binding
        if stem in ("isnan", "isinf", "isfinite"):
            self._count(3.0)
            return f"{stem}({self._text(args[0])})", _ATOM
        if stem == "bitwise_not":
            return f"~{self._text(args[0], _ATOM)}", _ATOM
        dtype = str(args[0].ty)
        if stem in HELPERS:
            self._count(_CALL_COST)
            return f"{self._helper(stem, dtype)}({', '.join(map(self._text, args))})", _ATOM
        function = MATH_CALLS.get(stem)
        if function is None or not dtype.startswith("float"):
            raise UsageError(f"TVM's {self.name} calls {stem} on {dtype}, which has no form in C")
        self._count(1.0 if stem in ("sqrt", "sqrtf", "fabs", "fabsf") else _CALL_COST)
        suffix = "f" if dtype == "float32" else ""
        return f"{function}{suffix}({', '.join(map(self._text, args))})", _ATOM

    # ---- names, lines and costs

    def _ctype(self, node: Any) -> str:
        return _CTYPES[str(node.ty)]

    def _fresh(self, wanted: str) -> str:
        stem = re.sub(r"\W", "_", wanted)
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        return name

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _count(self, instructions: float) -> None:
        self.instructions += instructions * self.times
        self.static += instructions

    @contextmanager
    def _repeated(self, times: int) -> Iterator[None]:
        outer, addresses = self.times, self.addresses
        self.times, self.addresses, self.depth = outer * times, set(), self.depth + 1
        yield
        self.times, self.addresses, self.depth = outer, addresses, self.depth - 1


def _arena_type(dtype: str) -> str:
    return _ALIASING.get(dtype, _CTYPES[dtype])


def _integer(value: int, dtype: str) -> tuple[str, int]:
    if dtype == "bool":
        return str(int(bool(value))), _ATOM
    if dtype in ("int64", "uint64"):
        if value == -(1 << 63):
            return "(-9223372036854775807LL - 1LL)", _ATOM
        return (f"{value}{'LL' if dtype == 'int64' else 'ULL'}"), _ATOM if value >= 0 else _PRODUCT
    if value == -(1 << 31):
        return "(-2147483647 - 1)", _ATOM
    suffix = "U" if dtype == "uint32" else ""
    return f"{value}{suffix}", _ATOM if value >= 0 else _PRODUCT


def _real(value: float, dtype: str) -> tuple[str, int]:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    binding = _PRODUCT if sign else _ATOM
    if math.isnan(value):
        return "NAN", _ATOM
    if math.isinf(value):
        return f"{sign}INFINITY", binding
    if dtype == "float64":
        return repr(value), binding
    if abs(value) > float(np.finfo(np.float32).max):
        return f"{sign}INFINITY", binding
    text = str(np.float32(value))
    return (f"{text}F" if "." in text or "e" in text else f"{text}.0F"), binding


def _wrapped(head: str, parameters: list[str]) -> str:
    """A function's first lines, its parameters one a line where they do not fit into one."""
    line = f"{head}{', '.join(parameters)})"
    return line if len(line) <= 110 else head + "\n    " + ",\n    ".join(parameters) + ")"
