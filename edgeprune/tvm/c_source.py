"""Plain loops printed as C99, in one walk that also estimates what they take.

Values that the arena holds are read and written through types that may alias anything. Local buffers of a few elements
are accumulators: C arrays, which compilers keep in registers. Any larger one lies in the step's scratch, never on the
stack. A function is kept apart from the layer that calls it, where compilers would find fewer registers for its sums.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgeprune.tvm.biases import flat, starting_values, variables
from edgeprune.tvm.c_expressions import Expressions, Scope, Tally
from edgeprune.tvm.c_terms import ATOM, CTYPES, EQUAL, NARROW, arena_type, wrapped
from edgeprune.tvm.edges import edged
from edgeprune.tvm.storage import Scratch

__all__ = ["CSource", "c_source"]

_UNROLLED = 8
"""Copies up to which the part of a row that is inside is written out: a call of memcpy would take longer."""
_SHORT = 24
"""Of an index that is written out wherever it is used, rather than named."""
_LOOP_COST, _BRANCH_COST, _INSTRUCTION_BYTES = 3.0, 2.0, 3.6


@dataclass(frozen=True)
class CSource:
    """A C function; see `routine.Kernel` for its fields."""

    text: str
    parameters: tuple[str, ...]
    helpers: tuple[tuple[str, str], ...]
    scratch_bytes: int
    instructions: float
    code_bytes: int


def c_source(function: Any, name: str, outputs: int, stored: Mapping[int, str] | None = None) -> CSource:
    """The lowered PrimFunc `function` as a C function; its last `outputs` parameters are written, the others read.

    `stored` are the types of parameters that hold narrower integers than the function computes with, by position.

    Raises:
        UsageError: it uses what C99 has no form of.
    """
    return _Printer(name).function(function, outputs, stored or {})


class _Printer:
    """One function; `lines` collects its body."""

    def __init__(self, name: str) -> None:
        self.lines: list[str] = []
        self.depth = 1
        self.scratch = Scratch()
        self.scope, self.tally = Scope(name, taken={name}), Tally()
        self.express = Expressions(self.scope, self.tally)

    def function(self, function: Any, outputs: int, stored: Mapping[int, str]) -> CSource:
        parameters = []
        read = len(function.params) - outputs
        for position, parameter in enumerate(function.params):
            dtype = stored.get(position, str(parameter.ty.dtype))
            role = f"in{position}" if position < read else f"out{position - read}"
            self.scope.names[hash(parameter)] = self.scope.fresh(role)
            if position in stored:
                self.scope.narrow.add(role)
            qualifier = "const " if position < read else ""
            parameters.append(f"{qualifier}{arena_type(dtype)} *restrict {role}")
        self._statement(function.body)
        if self.scratch.bytes:
            parameters.append("unsigned char *scratch")
        head = wrapped(f"static MACRO_NOINLINE void {self.scope.function}(", parameters)
        text = "\n".join([head, "{", *self.lines, "}", ""])
        return CSource(
            text,
            tuple(parameters),
            tuple(self.scope.helpers.items()),
            self.scratch.bytes,
            self.tally.instructions,
            round(self.tally.static * _INSTRUCTION_BYTES),
        )

    def _statement(self, node: Any) -> None:
        getattr(self, f"_do_{type(node).__name__}", self.express.refuse)(node)

    def _do_SeqStmt(self, node: Any) -> None:  # noqa: N802
        outer, statements = self.scope.starts, list(flat(node))
        for part in statements:
            if type(part).__name__ == "Bind" and variables(part.value) <= self.scope.bound():
                self._inlined(part)
        self.scope.starts = outer | starting_values(statements, self.scope.bound())
        for part in statements:
            self._statement(part)
        self.scope.starts = outer

    def _do_AttrStmt(self, node: Any) -> None:  # noqa: N802
        self._statement(node.body)

    def _do_AssertStmt(self, node: Any) -> None:  # noqa: N802
        """Shapes are static, so what TVM asserts holds."""

    def _do_Evaluate(self, node: Any) -> None:  # noqa: N802
        if type(node.value).__name__ != "IntImm":
            self._line(f"(void){self.express.text(node.value, ATOM)};")

    def _do_AllocBuffer(self, node: Any) -> None:  # noqa: N802
        dtype = str(node.buffer.ty.dtype)
        name = self.scope.fresh(re.sub("^T_|_intermediate", "", node.buffer.name))
        self.scope.names[hash(node.buffer)] = name
        offset = self.scratch.place(node.buffer)
        if offset is None:
            self.scope.locals.add(name)
            elements = math.prod(int(extent) for extent in node.buffer.ty.shape)
            self._line(f"{CTYPES[dtype]} {name}[{elements}];")
            return
        place = f" + {offset}" if offset else ""
        self._line(f"{arena_type(dtype)} *restrict {name} = ({arena_type(dtype)} *)(void *)(scratch{place});")

    def _do_DeclBuffer(self, node: Any) -> None:  # noqa: N802
        source = node.data.args[0] if hasattr(node.data, "args") else node.data
        self.scope.names[hash(node.buffer)] = self.scope.names[hash(source)]

    def _do_Bind(self, node: Any) -> None:  # noqa: N802
        if hash(node.var) in self.scope.inlined or self._inlined(node):
            return
        value = self.express.text(node.value)
        name = self.scope.fresh(node.var.name)
        self.scope.names[hash(node.var)] = name
        self._line(f"const {CTYPES[str(node.value.ty)]} {name} = {value};")

    def _inlined(self, node: Any) -> bool:
        """Whether the Bind `node` is of a short index, which is then written out where it is used."""
        if str(node.value.ty) != "int32":
            return False
        with self.tally.uncounted():
            value, binding = self.express.expression(node.value)
        if len(value) > _SHORT or "?" in value:
            return False
        self.scope.inlined[hash(node.var)] = value, binding
        return True

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
            self._line(f"if ({' && '.join(self.express.text(term, EQUAL) for term in split.outer)}) {{")
            self.tally.count(_BRANCH_COST)
            with self._repeated(1):
                within()
            self._line("} else {")
            with self._repeated(0):
                self._loop(node.loop_var, first, end, stored(split.outside))
            self._line("}")
        else:
            within()

    def _loop(
        self, variable: Any, first: int, end: int, body: Callable[[], None], *, split: bool = False
    ) -> None:
        """A loop over `variable` or, where it runs once or is part of a `split` one and short, its body."""
        if end - first <= (_UNROLLED if split else 1):
            for at in range(first, end):
                self.scope.names[hash(variable)] = str(at)
                body()
        else:
            name = self.scope.fresh(variable.name)
            self.scope.names[hash(variable)] = name
            self._line(f"for (int32_t {name} = {first}; {name} < {end}; {name}++) {{")
            self.tally.count(3.0)
            with self._repeated(end - first):
                body()
                self.tally.count(_LOOP_COST)
            self._line("}")

    def _do_IfThenElse(self, node: Any) -> None:  # noqa: N802
        self._line(f"if ({self.express.text(node.condition)}) {{")
        self.tally.count(_BRANCH_COST)
        with self._repeated(1):
            self._statement(node.then_case)
        if node.else_case is not None:
            self._line("} else {")
            with self._repeated(1):
                self._statement(node.else_case)
        self._line("}")

    def _do_While(self, node: Any) -> None:  # noqa: N802
        self._line(f"while ({self.express.text(node.condition)}) {{")
        with self._repeated(8):
            self._statement(node.body)
        self._line("}")

    def _do_BufferStore(self, node: Any) -> None:  # noqa: N802
        self._store(node.buffer, node.indices, node.value)

    def _store(self, buffer: Any, indices: Any, node: Any) -> None:
        dtype = str(buffer.ty.dtype)
        if type(node).__name__ == "FloatImm" and len(indices) and type(indices[0]).__name__ == "IntImm":
            node = self.scope.starts.get((hash(buffer), int(indices[0].value)), node)
        value = self.express.text(node)
        if dtype in NARROW or dtype == "bool":
            value = f"({CTYPES[dtype]})({value})"
        self._line(f"{self.express.element(buffer, indices)} = {value};")

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def _repeated(self, times: int) -> Iterator[None]:
        self.depth += 1
        with self.tally.repeated(times):
            yield
        self.depth -= 1
