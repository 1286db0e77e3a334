"""Sums that start at what is added to them in the end, such as a bias, instead of at zero: an addition a result less.

A tile's accumulators are set before the loop that adds to them and read once behind it, all in one sequence of
statements. `acc = 0; ...; y = f(acc + b)` is `acc = b; ...; y = f(acc)` where b reads nothing that is written between
and nothing but additions to acc, however deep in loops, reads acc elsewhere, up to the order in which real numbers are
added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["flat", "inside", "starting_values", "variables"]


def starting_values(statements: Sequence[Any], bound: frozenset[int]) -> dict[tuple[int, int], Any]:
    """What accumulators may start at, by hash of their buffer and index, for one sequence of statements.

    Args:
        statements: The sequence.
        bound: Hashes of the variables that are bound before it.
    """
    starts = [_zeroed(statement) for statement in statements]
    first = {start: position for position, start in enumerate(starts) if start is not None}
    written = {hash(node.buffer) for node in _all(statements) if type(node).__name__ == "BufferStore"}
    reads = Counter(place for statement in _all(statements) for place in _read(statement))
    found: dict[tuple[int, int], Any] = {}
    for statement in statements:
        if type(statement).__name__ != "BufferStore" or _zeroed(statement) is not None:
            continue
        for node in inside(statement.value):
            if type(node).__name__ == "Add":
                for sum_, other in ((node.a, node.b), (node.b, node.a)):
                    place = _place(sum_)
                    if place in first and place != _target(statement) and _known(other, bound, written):
                        found[place] = other
    anywhere = {buffer for buffer, index in reads if index is None}
    return {place: value for place, value in found.items() if reads[place] == 1 and place[0] not in anywhere}


def flat(sequence: Any) -> Iterator[Any]:
    """The statements of a SeqStmt, those of sequences in it among them."""
    for statement in sequence:
        if type(statement).__name__ == "SeqStmt":
            yield from flat(statement)
        else:
            yield statement


def variables(expression: Any) -> frozenset[int]:
    """Hashes of the variables in `expression`."""
    return frozenset(hash(node) for node in inside(expression) if type(node).__name__ == "Var")


def _zeroed(statement: Any) -> tuple[int, int] | None:
    if type(statement).__name__ != "BufferStore" or type(statement.value).__name__ != "FloatImm":
        return None
    index = statement.indices[0]
    if float(statement.value.value) != 0.0 or type(index).__name__ != "IntImm":
        return None
    return hash(statement.buffer), int(index.value)


def _place(node: Any) -> tuple[int, int] | None:
    """The element that a load reads, where its index is a number."""
    if type(node).__name__ != "TensorLoad" or len(node.indices) != 1:
        return None
    index = node.indices[0]
    return (hash(node.source), int(index.value)) if type(index).__name__ == "IntImm" else None


def _target(store: Any) -> tuple[int, int] | None:
    """The element that a store writes, where its index is a number."""
    index = store.indices[0]
    return (hash(store.buffer), int(index.value)) if type(index).__name__ == "IntImm" else None


def _read(statement: Any) -> Iterator[tuple[int, int | None]]:
    """What a statement reads, less the sum that it adds to; an index that is no number is None."""
    parts = [getattr(statement, name) for name in ("value", "condition") if hasattr(statement, name)]
    if type(statement).__name__ == "BufferStore":
        parts += list(statement.indices)
        own = _target(statement)
        terms = list(_addends(statement.value))
        if own is not None and sum(_place(term) == own for term in terms) == 1:
            parts = [*statement.indices, *(term for term in terms if _place(term) != own)]
    for node in (node for part in parts for node in inside(part)):
        if type(node).__name__ == "TensorLoad":
            yield _place(node) or (hash(node.source), None)


def _addends(value: Any) -> Iterator[Any]:
    if type(value).__name__ == "Add":
        yield from _addends(value.a)
        yield from _addends(value.b)
    else:
        yield value


def _known(value: Any, bound: frozenset[int], written: set[int]) -> bool:
    """Whether `value` is one load, of what nothing writes here, at an index of variables that are `bound` before."""
    if type(value).__name__ != "TensorLoad" or hash(value.source) in written:
        return False
    return frozenset[int]().union(*map(variables, value.indices)) <= bound


def inside(node: Any) -> Iterator[Any]:
    """`node` and every expression in it."""
    yield node
    parts = [getattr(node, name) for name in ("a", "b", "value", "condition") if hasattr(node, name)]
    parts += [part for name in ("args", "indices") if hasattr(node, name) for part in getattr(node, name)]
    for part in parts:
        if hasattr(part, "ty"):
            yield from inside(part)


def _all(statements: Sequence[Any]) -> Iterator[Any]:
    """Every statement, those of loops and branches included."""
    for statement in statements:
        yield statement
        kind = type(statement).__name__
        if kind == "SeqStmt":
            yield from _all(list(statement))
        for name in ("body", "then_case", "else_case"):
            part = getattr(statement, name, None)
            if part is not None:
                yield from _all([part])
