"""Inputs a build is verified on, and their stored form as the library takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.execute import dequantize, quantize
from edgeprune.graph.ir import Array, Graph, Tensor
from edgeprune.ops.from_bytes import bytes_of, image_reader

__all__ = ["Samples", "joined_runs", "real_outputs", "stored_inputs"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Real inputs, one array [N, *shape] per model input in the model's layout, and labels [N] where known.

    `source` says where they come from, for the report.
    """

    inputs: tuple[Array, ...]
    labels: Array | None
    source: str

    @property
    def count(self) -> int:
        """How many inferences."""
        return len(self.inputs[0])


def stored_inputs(graph: Graph, samples: Samples) -> tuple[Array, ...]:
    """Each graph input's stored values [N, *shape] in library layout, batch axis of the model dropped.

    With state, a sample is a sequence and its values are those of its runs, [N, runs, *shape].
    """
    if not graph.states:
        return tuple(
            _stored(real, graph, tensor) for tensor, real in zip(graph.inputs, samples.inputs, strict=True)
        )
    stored = []
    for tensor, real in zip(graph.inputs, samples.inputs, strict=True):
        runs = _into_runs(graph, tensor, real)
        flat = _stored(runs.reshape(-1, *runs.shape[2:]), graph, tensor)
        stored.append(flat.reshape(*runs.shape[:2], *tensor.shape))
    return tuple(stored)


def _into_runs(graph: Graph, tensor: Tensor, real: Array) -> Array:
    """What each run takes of samples [N, ...]: [N, runs, ...]."""
    if graph.frames is None:
        return real
    if tensor.name not in graph.frames.axes:
        return np.repeat(real[:, None], graph.frames.steps, axis=1)
    return np.moveaxis(real, graph.frames.axes[tensor.name], 1)


def _stored(real: Array, graph: Graph, tensor: Tensor) -> Array:
    values = _to_library(real, graph, tensor)
    reader = image_reader(graph, tensor)
    return np.ascontiguousarray(quantize(values, tensor) if reader is None else bytes_of(reader, values))


def _to_library(values: Array, graph: Graph, tensor: Tensor) -> Array:
    perm = graph.layouts.get(tensor.name)
    count = len(values)
    if perm is not None:
        model_shape = tuple(tensor.shape[axis] for axis in np.argsort(perm))
        values = values.reshape(count, *model_shape).transpose(0, *(axis + 1 for axis in perm))
    return values.reshape(count, *tensor.shape)


def real_outputs(graph: Graph, stored: tuple[Array, ...]) -> tuple[Array, ...]:
    """Real outputs [N, *shape] in the model's layout, its batch axis of 1 dropped, from stored ones.

    With state, from those of every run, [N, runs, *shape]: likewise, or where the model takes a sequence at once, as it
    gives them for that.
    """
    if not graph.states:
        return tuple(
            _real(graph, tensor, values) for tensor, values in zip(graph.outputs, stored, strict=True)
        )
    results = []
    for tensor, values in zip(graph.outputs, stored, strict=True):
        runs = values.shape[:2]
        real = _real(graph, tensor, values.reshape(-1, *tensor.shape))
        results.append(_out_of_runs(graph, tensor, real.reshape(*runs, *real.shape[1:])))
    return tuple(results)


def _out_of_runs(graph: Graph, tensor: Tensor, real: Array) -> Array:
    """The model's own output [N, ...] from those of the runs, [N, runs, ...]."""
    if graph.frames is None:
        return real
    axis = graph.frames.axes.get(tensor.name)
    if axis is None:
        return real[:, -1]
    return joined_runs(real[:, graph.frames.late.get(tensor.name, 0) :], axis)


def joined_runs(runs: Array, axis: int) -> Array:
    """The frames of runs [N, runs, ...] side by side along the model's `axis`, of which each run has one position."""
    frames = np.moveaxis(runs, 1, axis)
    # The axis of one position that each run has follows its runs'.
    return frames.reshape(*frames.shape[:axis], -1, *frames.shape[axis + 2 :])


def _real(graph: Graph, tensor: Tensor, stored: Array) -> Array:
    perm = graph.layouts.get(tensor.name)
    values = stored.reshape(len(stored), *tensor.shape)
    if perm is not None:
        values = values.transpose(0, *(int(axis) + 1 for axis in np.argsort(perm)))
    if values.ndim > 1 and values.shape[1] == 1:
        values = values[:, 0]
    return dequantize(values, tensor)
