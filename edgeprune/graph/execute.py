"""Runs a graph by its operators' NumPy references: the definition that every build must equal, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeprune.graph.ir import DTYPES, Array, Graph, Tensor
from edgeprune.ops.base import operator_for

__all__ = ["dequantize", "execute", "execute_runs", "quantize", "reset_states", "sequence_outputs"]


def execute(
    graph: Graph, inputs: Sequence[Array], states: Sequence[Array] | None = None
) -> Mapping[str, Array]:
    """Every tensor's stored values for one inference on stored `inputs` (library layout, batch axis included).

    `states` are what the run before left, one array for each of the graph's states; those of a reset by default.
    """
    values = {tensor.name: tensor.value for tensor in graph.tensors() if tensor.value is not None}
    values.update({tensor.name: array for tensor, array in zip(graph.inputs, inputs, strict=True)})
    kept = reset_states(graph) if states is None else states
    values.update({state.before.name: array for state, array in zip(graph.states, kept, strict=True)})
    for node in graph.nodes:
        results = operator_for(node).reference(node, *(values[tensor.name] for tensor in node.inputs))
        for tensor, result in zip(node.outputs, results, strict=True):
            assert result.shape == tensor.shape, (node.name, result.shape, tensor.shape)
            values[tensor.name] = result
    return values


def execute_runs(graph: Graph, inputs: Sequence[Array]) -> Iterator[Mapping[str, Array]]:
    """The values of `execute` run after run, from a reset on; stored `inputs` are [runs, *shape]."""
    states: Sequence[Array] = reset_states(graph)
    for run in range(len(inputs[0])):
        values = execute(graph, [array[run] for array in inputs], states)
        states = [values[state.after.name] for state in graph.states]
        yield values


def sequence_outputs(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """The graph's stored outputs [runs, *shape] of runs from a reset on; stored `inputs` are [runs, *shape]."""
    runs = [[values[tensor.name] for tensor in graph.outputs] for values in execute_runs(graph, inputs)]
    return tuple(np.stack(arrays) for arrays in zip(*runs, strict=True))


def reset_states(graph: Graph) -> tuple[Array, ...]:
    """The stored zeros that a reset leaves in each state."""
    return tuple(
        np.full(state.before.shape, state.zero, DTYPES[state.before.dtype]) for state in graph.states
    )


def quantize(real: Array, tensor: Tensor) -> Array:
    """Real numbers as `tensor` stores them: rounded half to even, saturated (ONNX's QuantizeLinear)."""
    if tensor.quant is None:
        return real.astype(tensor.dtype)
    scaled = real.astype(np.float32) / np.float32(tensor.scale)
    stored: Array = np.clip(np.rint(scaled) + tensor.zero_point, -128, 127).astype(np.int8)
    return stored


def dequantize(stored: Array, tensor: Tensor) -> Array:
    """Stored integers as float32."""
    if tensor.quant is None:
        return stored
    real: Array = (stored.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
    return real
