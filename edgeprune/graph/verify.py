"""What a legal graph is, as a table of rules; every pass ends in `verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgeprune.graph.ir import DTYPES, Graph, Node, Tensor
from edgeprune.ops.base import operators

__all__ = ["GraphError", "verify"]


class GraphError(AssertionError):
    """A pass or the importer built an illegal graph: a defect of edgeprune."""


def _given(graph: Graph) -> list[str]:
    """Names of what is there before the first node runs."""
    return [tensor.name for tensor in (*graph.inputs, *(state.before for state in graph.states))]


def _single_assignment(graph: Graph) -> Iterator[str]:
    given = _given(graph)
    defined = set(given)
    if len(defined) != len(given):
        yield "two graph inputs share a name"
    for node in graph.nodes:
        for tensor in node.outputs:
            if tensor.name in defined:
                yield f"{tensor.name!r} is computed twice (again by {node.name!r})"
            defined.add(tensor.name)


def _defined_before_use(graph: Graph) -> Iterator[str]:
    defined = set(_given(graph))
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor.value is None and tensor.name not in defined:
                yield f"{node.name!r} reads {tensor.name!r} before it is computed"
        defined.update(tensor.name for tensor in node.outputs)
    for tensor in graph.outputs:
        if tensor.name not in defined:
            yield f"graph output {tensor.name!r} is never computed"
    for state in graph.states:
        if state.after.name not in defined:
            yield f"state {state.after.name!r} is never computed"


def _states(graph: Graph) -> Iterator[str]:
    for before, after in ((state.before, state.after) for state in graph.states):
        if (before.shape, before.dtype, before.quant) != (after.shape, after.dtype, after.quant):
            yield f"state {before.name!r} is not of one kind with {after.name!r}, which it becomes"


def _one_description(graph: Graph) -> Iterator[str]:
    known: dict[str, Tensor] = {}
    kept = [(state.before, state.after) for state in graph.states]
    groups = [graph.inputs, graph.outputs, *kept, *(node.inputs + node.outputs for node in graph.nodes)]
    for tensor in (tensor for group in groups for tensor in group):
        other = known.setdefault(tensor.name, tensor)
        if (other.shape, other.dtype, other.quant) != (tensor.shape, tensor.dtype, tensor.quant):
            yield f"{tensor.name!r} is described in two ways"


def _values(graph: Graph) -> Iterator[str]:
    for tensor in graph.tensors():
        if tensor.dtype not in DTYPES:
            yield f"{tensor.name!r} has unknown type {tensor.dtype}"
        elif tensor.value is not None:
            if tensor.value.shape != tensor.shape or tensor.value.dtype != np.dtype(tensor.dtype):
                yield f"constant {tensor.name!r} differs from its description"
            if tensor.value.flags.writeable:
                yield f"constant {tensor.name!r} is not frozen"


def _quantisation(graph: Graph) -> Iterator[str]:
    quantised = {tensor.name for tensor in graph.tensors()} - _plain(graph)
    for tensor in graph.tensors():
        quant = tensor.quant
        if quant is None:
            if tensor.dtype == "int8" and tensor.value is None and tensor.name in quantised:
                yield f"activation {tensor.name!r} is int8 without scale"
            continue
        length = 1 if quant.axis is None else tensor.shape[quant.axis]
        if len(quant.scale) != length or len(quant.zero_point) != length:
            yield f"{tensor.name!r} has {len(quant.scale)} scales for {length}"
        if any(not (scale > 0 and np.isfinite(scale)) for scale in quant.scale):
            yield f"{tensor.name!r} has a scale that is not a positive number"


def _plain(graph: Graph) -> set[str]:
    """Names of values that only operators on values as they are read and write, where int8 is a type like others."""
    touched: dict[str, set[bool]] = {}
    for node in graph.nodes:
        operator = operators().get(node.op)
        for tensor in (*node.inputs, *node.outputs):
            plain = operator is not None and (operator.is_plain or operator.is_view)
            touched.setdefault(tensor.name, set()).add(plain)
    return {name for name, plain in touched.items() if plain == {True}}


def _operators(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from _operator(node)


def _operator(node: Node) -> Iterator[str]:
    operator = operators().get(node.op)
    if operator is None:
        yield f"{node.name!r} has unknown operator {node.op}"
        return
    shapes = operator.infer_shapes(node)
    declared = tuple(tensor.shape for tensor in node.outputs)
    if tuple(map(tuple, shapes)) != declared:
        yield f"{node.op} {node.name!r} declares {declared} and computes {shapes}"
    if operator.keeps_quant:
        quants = {t.quant for t in (*node.inputs, *node.outputs) if t.value is None and t.quant is not None}
        if len(quants) > 1:
            yield f"{node.op} {node.name!r} must keep its input's scale"
    try:
        operator.check(node)
    except ValueError as error:
        yield f"{node.op} {node.name!r}: {error}"


RULES: tuple[Callable[[Graph], Iterator[str]], ...] = (
    _single_assignment,
    _defined_before_use,
    _states,
    _one_description,
    _values,
    _quantisation,
    _operators,
)


def verify(graph: Graph) -> Graph:
    """`graph` itself, if every rule holds.

    Raises:
        GraphError: naming every broken rule.
    """
    broken = [sentence for rule in RULES for sentence in rule(graph)]
    if broken:
        raise GraphError(f"graph {graph.name!r}: " + "; ".join(broken))
    return graph
