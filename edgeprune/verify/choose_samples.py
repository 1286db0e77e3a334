"""Which inputs a run is verified on: a data file, a recipe's test data, or seeded random inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.execute import dequantize
from edgeprune.graph.ir import Array, Graph, Node, Tensor
from edgeprune.model.data import input_specs, load_dataset, recipe_dataset
from edgeprune.model.model import Model
from edgeprune.ops import operator_for
from edgeprune.ops.from_bytes import image_reader, reals_of
from edgeprune.verify.samples import Samples, joined_runs

__all__ = ["choose_samples", "given_samples"]

_RECIPE_SAMPLES = 500
_RANDOM_SAMPLES = 20
_RANDOM_STEPS = 10


def given_samples(model: Model, data: Path | None, limit: int | None) -> Samples | None:
    """At most `limit` samples of the user's data file, read before any work is done; None where none is named.

    Raises:
        UsageError: the file does not fit the network.
    """
    if data is None:
        return None
    file = load_dataset(data, input_specs(model))
    if model.training is None and file.labels is not None and (file.labels % 1).any():
        raise UsageError(f"{data}: 'y' holds fractions, but the labels of classes are whole numbers")
    count = min(limit or len(file.inputs[0]), len(file.inputs[0]))
    labels = None if file.labels is None else file.labels[:count]
    return Samples(tuple(array[:count] for array in file.inputs), labels, data.name)


def choose_samples(
    model: Model, graph: Graph, given: Samples | None, limit: int | None, seed: int
) -> Samples:
    """The inputs to verify on: those given, else the recipe's, else random ones, at most `limit`.

    Raises:
        UsageError: the recipe's data do not fit the network.
    """
    if given is not None:
        return given
    if model.training is not None:
        count = limit or _RECIPE_SAMPLES
        test = recipe_dataset(model, model.training.test_data(), count)
        # What a metric makes of sequences that a network is run on step by step is not known.
        labels = None if model.stepping.states else test.labels
        return Samples(test.inputs, labels, "the recipe's test data")
    return _random_samples(graph, limit or _RANDOM_SAMPLES, seed)


def _random_samples(graph: Graph, count: int, seed: int) -> Samples:
    generator = np.random.default_rng(seed)
    if graph.states:
        return _random_sequences(graph, count, generator)
    return Samples(
        tuple(_random_input(graph, tensor, count, generator) for tensor in graph.inputs),
        None,
        "random inputs",
    )


def _random_sequences(graph: Graph, count: int, generator: np.random.Generator) -> Samples:
    """About `count` runs in sequences as long as the model takes them, or of `_RANDOM_STEPS`; two at the least."""
    steps = _RANDOM_STEPS if graph.frames is None else graph.frames.steps
    sequences = max(2, -(-count // steps))
    inputs = []
    for tensor in graph.inputs:
        axis = 1 if graph.frames is None else graph.frames.axes.get(tensor.name)
        runs = _random_input(graph, tensor, sequences * (1 if axis is None else steps), generator)
        if axis is not None:
            runs = runs.reshape(sequences, steps, *runs.shape[1:])
        if axis is not None and graph.frames is not None:
            runs = joined_runs(runs, axis)
        inputs.append(np.ascontiguousarray(runs))
    return Samples(tuple(inputs), None, "random inputs")


def _random_input(graph: Graph, tensor: Tensor, count: int, generator: np.random.Generator) -> Array:
    """Uniform over the stored range: int8 for activations, bytes of images, the rows of the table that ids select.

    Floats are normal.
    """
    reader = image_reader(graph, tensor)
    if reader is not None:
        return _random_image(graph, tensor, reader, count, generator)
    perm = graph.layouts.get(tensor.name)
    shape = tensor.shape if perm is None else tuple(tensor.shape[axis] for axis in np.argsort(perm))
    inner = shape[1:] if shape and shape[0] == 1 else shape
    if tensor.dtype == "float32":
        return generator.standard_normal((count, *inner), np.float32)
    if tensor.dtype in ("int8", "uint8") and tensor.quant is None:
        limits = np.iinfo(tensor.dtype)
        return generator.integers(limits.min, limits.max + 1, (count, *inner), dtype=tensor.dtype)
    if tensor.dtype == "bool":
        return generator.integers(0, 2, (count, *inner)).astype(np.bool_)
    if tensor.quant is not None:
        stored = generator.integers(-128, 128, (count, *inner), dtype=np.int8)
        return dequantize(stored, tensor)
    return generator.integers(0, _table_rows(graph, tensor), (count, *inner), dtype=np.int32)


def _random_image(
    graph: Graph, tensor: Tensor, reader: Node, count: int, generator: np.random.Generator
) -> Array:
    """The real numbers of random bytes, in the model's layout."""
    reals = reals_of(reader, generator.integers(0, 256, (count, *tensor.shape), dtype=np.uint8))
    perm = graph.layouts.get(tensor.name)
    if perm is not None:
        reals = reals.transpose(0, *(int(axis) + 1 for axis in np.argsort(perm)))
    return np.ascontiguousarray(reals[:, 0] if reals.ndim > 1 and reals.shape[1] == 1 else reals)


def _table_rows(graph: Graph, tensor: Tensor) -> int:
    rows = [
        other.shape[0]
        for node in graph.nodes
        for other in node.inputs
        if operator_for(node).title(node) == "Gather"
        and other.value is not None
        and tensor.name in {t.name for t in node.inputs}
    ]
    if not rows:
        raise UsageError(f"input {tensor.name!r} holds integers of unknown range: give samples with --data")
    return min(rows)
