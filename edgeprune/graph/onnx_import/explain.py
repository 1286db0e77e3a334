"""Sentences for what the importer refuses."""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.errors import UsageError

__all__ = ["unsupported_operator"]


def unsupported_operator(node: ir.Node, *, in_float: bool) -> UsageError:
    """Names the operator, its node, and the graph inputs that lead there; and whether float32 has a form of it."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    sources = ", ".join(repr(name) for name in _graph_inputs(node)) or "constants only"
    label = node.name or node.outputs[0].name
    refusal = f"operator {operator} (node {label!r}, reached from {sources}) is not supported in int8"
    return UsageError(f"{refusal}: without --backend c it runs in float32" if in_float else refusal)


def _graph_inputs(node: ir.Node) -> list[str]:
    pending, seen, found = [v for v in node.inputs if v is not None], set(), []
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        producer = value.producer()
        if producer is not None:
            pending.extend(v for v in producer.inputs if v is not None)
        elif value.is_graph_input() and value.const_value is None:
            found.append(value.name or "?")
    return sorted(found)
