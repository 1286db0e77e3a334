"""Which float values share one scale and zero point, and which clamps quantisation itself performs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgeprune.quantize.operators import (
    CLAMPS,
    RECURRENT,
    activation_inputs,
    constant_of,
    is_activation,
    is_float,
    moves_data,
)

__all__ = ["Group", "fused_clamps", "sharing_groups"]


@dataclass(frozen=True, eq=False)
class Group:
    """Values stored at one scale. `sources` are the members whose contents define the range: the others hold
    a selection of them. `fixed` are constants that must be stored too (padding, embedding tables)."""

    members: tuple[ir.Value, ...]
    sources: tuple[ir.Value, ...]
    tables: tuple[ir.Value, ...]

    @property
    def name(self) -> str:
        return self.members[0].name or "?"


def fused_clamps(graph: ir.Graph) -> Mapping[ir.Node, ir.Node]:
    """The Relu and Clip nodes that saturation performs, each with the node whose result it clamps.

    Where only the clamp reads a result, the result is quantised directly at the clamp's range: int8 saturates at
    the range's ends, which are the clamp's (or lie within them), so the clamp has nothing left to do.
    """
    found: dict[ir.Node, ir.Node] = {}
    for node in graph:
        source = node.inputs[0] if node.inputs else None
        producer = source.producer() if source is not None else None
        if node.op_type not in CLAMPS or source is None or producer is None or not _spans_zero(node):
            continue
        alone = len(list(source.uses())) == 1 and not source.is_graph_output() and is_float(source)
        if alone and not moves_data(producer) and producer.op_type not in CLAMPS:
            found[node] = producer
    return found


def _spans_zero(node: ir.Node) -> bool:
    """Whether 0 lies within the clamp's bounds, as it does in every quantised range."""
    if node.op_type == "Relu":
        return True
    bounds = [constant_of(value) for value in node.inputs[1:]]
    if any(value is not None and bound is None for value, bound in zip(node.inputs[1:], bounds, strict=True)):
        return False
    low = float(bounds[0].numpy().reshape(())) if bounds and bounds[0] is not None else -1.0
    high = float(bounds[1].numpy().reshape(())) if len(bounds) > 1 and bounds[1] is not None else 1.0
    return low <= 0.0 <= high


def sharing_groups(
    graph: ir.Graph, fused: Collection[ir.Node], alike: Collection[tuple[ir.Value, ir.Value]] = ()
) -> tuple[Group, ...]:
    """Every float activation in exactly one group, in the order of the graph; see `Group`.

    `fused` are the clamps that saturation performs: their inputs are never stored and belong to no group. The values of
    each pair of `alike` are in one: states and what they become.
    """
    unstored = {node.inputs[0] for node in fused}
    values = [v for v in graph.inputs if is_activation(v)]
    values += [v for node in graph for v in node.outputs if is_activation(v) and v not in unstored]
    parent = {value: value for value in values}

    def root(value: ir.Value) -> ir.Value:
        while parent[value] is not value:
            value = parent[value]
        return value

    def join(a: ir.Value, b: ir.Value) -> None:
        first, second = root(a), root(b)
        if first is not second:
            parent[second] = first

    for one, other in alike:
        if one in parent and other in parent:
            join(one, other)
    derived: set[ir.Value] = set()
    tables: dict[ir.Value, list[ir.Value]] = {}
    for node in graph:
        outputs = [value for value in node.outputs if value in parent]
        states = [value for value in node.outputs[:2] if value in parent]
        if node.op_type in RECURRENT and len(states) == 2:  # Y_h, the last state, is one of the states in Y
            join(states[0], states[1])
        clamps = node.op_type in CLAMPS and node not in fused
        if not outputs or not (moves_data(node) or clamps):
            continue
        inputs = [value for _, value in activation_inputs(node)]
        table = node.inputs[0]
        if node.op_type == "Gather" and table is not None and constant_of(table) is not None:
            tables.setdefault(outputs[0], []).append(table)
            continue
        for value in [*(v for v in inputs if v in parent), *outputs[1:]]:
            join(value, outputs[0])
        # Padding may bring in a value of its own, constants may be among a Concat's inputs.
        if node.op_type != "Pad" and all(value in parent for value in inputs):
            derived.update(outputs)
    members: dict[ir.Value, list[ir.Value]] = {}
    for value in values:
        members.setdefault(root(value), []).append(value)
    return tuple(
        Group(
            tuple(group),
            tuple(value for value in group if value not in derived),
            tuple(table for value in group for table in tables.get(value, ())),
        )
        for group in members.values()
    )
