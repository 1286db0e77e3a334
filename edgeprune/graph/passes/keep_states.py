"""Inputs that are what an output was in the run before become states of the graph.

A state lies in memory once, so both ends get one layout and one scale: what an output has of its own is brought to the
input's by a Transpose or a Requantize behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Graph, State, Tensor

__all__ = ["run"]


def run(graph: Graph, pairs: Sequence[tuple[int, int]]) -> Graph:
    """`graph` with its inputs and outputs of these numbers, (input, output), as states.

    Raises:
        UsageError: there are no such inputs and outputs, or the two of a pair differ in shape or type.
    """
    if not pairs:
        return graph
    befores, afters = {before for before, _ in pairs}, {after for _, after in pairs}
    if max(befores) >= len(graph.inputs) or max(afters) >= len(graph.outputs):
        raise UsageError(f"the network {graph.name!r} has not as many inputs and outputs as its states name")
    build = Builder({tensor.name for tensor in graph.tensors()})
    states = tuple(
        State(graph.inputs[before], _alike(graph, build, graph.inputs[before], graph.outputs[after]))
        for before, after in pairs
    )
    inputs = tuple(tensor for number, tensor in enumerate(graph.inputs) if number not in befores)
    outputs = tuple(tensor for number, tensor in enumerate(graph.outputs) if number not in afters)
    nodes = (*graph.nodes, *build.nodes)
    return replace(graph, nodes=nodes, inputs=inputs, outputs=outputs, states=states)


def _alike(graph: Graph, build: Builder, before: Tensor, after: Tensor) -> Tensor:
    """`after` in the layout and at the scale of `before`."""
    shapes = [_model_shape(graph, tensor) for tensor in (before, after)]
    if shapes[0] != shapes[1] or before.dtype != after.dtype:
        kinds = [f"{t.dtype}{list(shape)}" for t, shape in zip((before, after), shapes, strict=True)]
        raise UsageError(
            f"the state {before.name!r} is {kinds[0]} and {after.name!r}, which it becomes, is {kinds[1]}: "
            "both must be of one shape and type"
        )
    rank = range(len(before.shape))
    wanted = graph.layouts.get(before.name, tuple(rank))
    there = graph.layouts.get(after.name, tuple(rank))
    perm = [there.index(axis) for axis in wanted]
    moved = [axis for axis in perm if after.shape[axis] != 1]
    turned = build.reshape(after, before.shape) if moved == sorted(moved) else build.transpose(after, perm)
    if turned.quant == before.quant:
        return turned
    result = build.tensor(f"{after.name}_next", before.shape, before.dtype, before.quant)
    build.add("Requantize", result.name, [turned], [result])
    return result


def _model_shape(graph: Graph, tensor: Tensor) -> tuple[int, ...]:
    perm = graph.layouts.get(tensor.name)
    return tensor.shape if perm is None else tuple(tensor.shape[int(axis)] for axis in np.argsort(perm))
