"""Inputs a build is verified on, and their stored form as the library takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.execute import dequantize, quantize
from edgeprune.graph.ir import Array, Graph, Tensor
from edgeprune.ops.from_bytes import bytes_of, image_reader

__all__ = ["Samples", "real_outputs", "stored_inputs"]


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
    """Each graph input's stored values [N, *shape] in library layout, batch axis of the model dropped."""
    return tuple(
        np.ascontiguousarray(_stored(_to_library(real, graph, tensor), graph, tensor))
        for tensor, real in zip(graph.inputs, samples.inputs, strict=True)
    )


def _stored(real: Array, graph: Graph, tensor: Tensor) -> Array:
    reader = image_reader(graph, tensor)
    return quantize(real, tensor) if reader is None else bytes_of(reader, real)


def _to_library(values: Array, graph: Graph, tensor: Tensor) -> Array:
    perm = graph.layouts.get(tensor.name)
    count = len(values)
    if perm is not None:
        model_shape = tuple(tensor.shape[axis] for axis in np.argsort(perm))
        values = values.reshape(count, *model_shape).transpose(0, *(axis + 1 for axis in perm))
    return values.reshape(count, *tensor.shape)


def real_outputs(graph: Graph, stored: tuple[Array, ...]) -> tuple[Array, ...]:
    """Real outputs [N, *shape] in the model's layout, its batch axis of 1 dropped, from stored ones."""
    results = []
    for tensor, values in zip(graph.outputs, stored, strict=True):
        perm = graph.layouts.get(tensor.name)
        values = values.reshape(len(values), *tensor.shape)
        if perm is not None:
            values = values.transpose(0, *(int(axis) + 1 for axis in np.argsort(perm)))
        if values.ndim > 1 and values.shape[1] == 1:
            values = values[:, 0]
        results.append(dequantize(values, tensor))
    return tuple(results)
