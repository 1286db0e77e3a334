"""Loops that ask of each element whether it lies inside: split where the answer changes, so that none asks.

Padding is such a loop: `for x: y[x] = inside(x, row) ? in[x - 1] : 0`. Conditions that do not depend on the loop's own
variable are asked once before it, and those that bound the variable by a number become the bounds of loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Edged", "edged"]


@dataclass(frozen=True, eq=False)
class Edged:
    """A loop whose store takes `inside` for its variable from `low` to `high` - 1, `outside` elsewhere.

    It takes `outside` everywhere where not all of `outer` hold.
    """

    outer: tuple[Any, ...]
    low: int
    high: int
    inside: Any
    outside: Any


def edged(loop: Any) -> Edged | None:
    """What `loop`, a TIR For with one store as its body, is; None where it asks nothing of the kind."""
    store = loop.body
    if type(store).__name__ != "BufferStore" or not _chooses(store.value):
        return None
    condition, inside, outside = store.value.args
    low, end = int(loop.min), int(loop.min) + int(loop.extent)
    high, outer = end, []
    for term in _terms(condition):
        bounds = _bounds(term, loop.loop_var)
        if bounds is not None:
            low, high = max(low, bounds[0]), min(high, bounds[1])
        elif not _mentions(term, loop.loop_var):
            outer.append(term)
        else:
            return None
    low = min(low, end)
    return Edged(tuple(outer), low, max(low, high), inside, outside)


def _chooses(value: Any) -> bool:
    return type(value).__name__ == "Call" and str(value.op.name).endswith("if_then_else")


def _terms(condition: Any) -> Iterator[Any]:
    if type(condition).__name__ == "And":
        yield from _terms(condition.a)
        yield from _terms(condition.b)
    else:
        yield condition


def _bounds(term: Any, variable: Any) -> tuple[int, int] | None:
    """The range that a comparison of `variable` with a number allows it."""
    kind, flipped = type(term).__name__, {"LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE"}
    if kind not in flipped:
        return None
    a, b = term.a, term.b
    if type(a).__name__ == "IntImm":
        kind, a, b = flipped[kind], b, a
    if type(b).__name__ != "IntImm" or type(a).__name__ != "Var" or not a.same_as(variable):
        return None
    limit, far = int(b.value), 1 << 31
    return {"LT": (-far, limit), "LE": (-far, limit + 1), "GT": (limit + 1, far), "GE": (limit, far)}[kind]


def _mentions(node: Any, variable: Any) -> bool:
    if type(node).__name__ == "Var":
        return bool(node.same_as(variable))
    parts = [getattr(node, name) for name in ("a", "b", "value", "condition") if hasattr(node, name)]
    parts += [part for name in ("args", "indices") if hasattr(node, name) for part in getattr(node, name)]
    return any(_mentions(part, variable) for part in parts if hasattr(part, "ty"))
