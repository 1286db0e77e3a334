"""The inference that the library's self test embeds: pseudo-random, and such that its outputs can be asked for exactly.

Layers in float add in an order of their own, so a real number that lies close to the middle between two integers may
be stored as either. Where a network has such layers, of several inputs the one is embedded whose real numbers stay
furthest from any middle. Where that is further than compilers and libraries of functions differ, every right build
gives the same bytes, and the self test asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgeprune.codegen import Golden
from edgeprune.graph.execute import execute, sequence_outputs
from edgeprune.graph.ir import Array, Graph, Node, Tensor
from edgeprune.graph.islands import has_islands, in_float

__all__ = ["golden_inference", "margin"]

_RUNS = 4
"""Of a network that keeps states: enough to read what an earlier run left."""
_TRIES = 16
_SURE = 2e-6
"""Of a tensor's largest magnitude; the 64 layers of `benchmarks.torch_layers` are within a quarter of it of torch."""
_LIMITS: Mapping[str, tuple[int, int]] = {"int8": (-128, 127), "uint8": (0, 255)}


def golden_inference(graph: Graph) -> Golden:
    """Inputs and the outputs that they give, the same for the same graph; of one with states, in its first runs."""
    if graph.states:
        return _first_runs(graph)
    if not has_islands(graph):
        inputs, values = _inference(graph, 0)
        return Golden(inputs, _outputs(graph, values))
    best: tuple[float, Golden] | None = None
    for seed in range(_TRIES):
        inputs, values = _inference(graph, seed)
        found = margin(graph, values)
        if best is None or found > best[0]:
            best = found, Golden(inputs, _outputs(graph, values), exact=found >= _SURE)
        if found >= _SURE:
            break
    assert best is not None
    return best[1]


def margin(graph: Graph, values: Mapping[str, Array]) -> float:
    """How far real numbers may move, as a share of their tensor's largest, before one is stored as another integer.

    Zero where float layers decide on integers by anything but rounding, of which nothing is known.
    """
    found = math.inf
    for node in filter(in_float, graph.nodes):
        if all(tensor.dtype == "float32" for tensor in node.outputs):
            continue
        if node.attrs["type"] != "QuantizeLinear":
            return 0.0
        found = min(found, _rounding_margin(node, values))
    return found


def _rounding_margin(node: Node, values: Mapping[str, Array]) -> float:
    """The same of one QuantizeLinear; what saturates is as far as it is from the range's end."""
    real = values[node.inputs[0].name].astype(np.float64)
    largest = float(np.abs(real).max(initial=0.0))
    if not largest or not np.isfinite(largest):
        return 0.0 if largest else math.inf
    scale, zero_point = (np.asarray(values[tensor.name], np.float64) for tensor in node.inputs[1:3])
    if scale.ndim:
        return 0.0
    steps = real / scale
    low, high = _LIMITS[node.output.dtype]
    nearest = np.clip(np.floor(steps), low - zero_point, high - zero_point - 1) + 0.5
    return float(np.abs(steps - nearest).min()) * float(scale) / largest


def _inference(graph: Graph, seed: int) -> tuple[tuple[Array, ...], Mapping[str, Array]]:
    generator = np.random.default_rng(seed)
    inputs = tuple(_input(tensor, generator) for tensor in graph.inputs)
    return inputs, execute(graph, inputs)


def _first_runs(graph: Graph) -> Golden:
    generator = np.random.default_rng(0)
    inputs = tuple(np.stack([_input(tensor, generator) for _ in range(_RUNS)]) for tensor in graph.inputs)
    return Golden(inputs, sequence_outputs(graph, inputs), runs=_RUNS)


def _outputs(graph: Graph, values: Mapping[str, Array]) -> tuple[Array, ...]:
    return tuple(values[tensor.name] for tensor in graph.outputs)


def _input(tensor: Tensor, generator: np.random.Generator) -> Array:
    if tensor.dtype in _LIMITS:
        limits = np.iinfo(tensor.dtype)
        return generator.integers(limits.min, limits.max + 1, tensor.shape).astype(tensor.dtype)
    if tensor.dtype == "float32":
        return generator.standard_normal(tensor.shape, np.float32)
    return np.zeros(tensor.shape, tensor.dtype)
