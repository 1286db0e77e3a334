"""The proof of a build: reference, host library and emulator on every sample, and the task's metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeprune.codegen import FLOAT_TOLERANCE
from edgeprune.compile import Build, measure
from edgeprune.device import load_device
from edgeprune.emulate import Measurement, layer_outputs, run
from edgeprune.errors import VerificationFailed
from edgeprune.firmware import Image, build
from edgeprune.graph.ir import Array, Graph
from edgeprune.graph.islands import has_islands
from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.quantize import run_onnx, run_sequences
from edgeprune.report import Accuracy
from edgeprune.runners import Runner
from edgeprune.stepping import stepping_of
from edgeprune.verdict import Cost
from edgeprune.verify import (
    Mismatch,
    Samples,
    Verification,
    compare_given,
    compare_layers,
    differing_samples,
    real_outputs,
    reference_outputs,
    relative_difference,
    runs_to,
    stored_inputs,
    verify_outputs,
)
from edgeprune.verify.accuracy import metric_name, score, score_module

__all__ = ["Proof", "prove"]


@dataclass(frozen=True, eq=False)
class Proof:
    """What running the build on every sample showed."""

    inputs: tuple[Array, ...]
    """Stored inputs [N, *shape] of every sample, in library layout."""
    measurement: Measurement
    cost: Cost
    verification: Verification
    accuracy: Accuracy


def prove(
    built: Build,
    original: Model,
    pruned: Model | None,
    samples: Samples,
    directory: Path,
    progress: Progress,
    runner: Runner,
) -> Proof:
    """Run `built` on every sample with `runner` and on the host, and compare both with the reference.

    Raises:
        VerificationFailed: the first mismatch, named by layer and element; or the emulator hung.
        UsageError, EnvironmentFailure: the board of `runner` has another library on it, or does not answer.
    """
    graph, inputs = built.graph, stored_inputs(built.graph, samples)
    expected = reference_outputs(graph, inputs, progress)
    if built.sequence is not None:
        _check_frames(built.sequence, graph, samples, expected, progress)
    measurement, cost = measure(built, inputs, progress, runner)
    found = [measurement.outputs]
    where = "the host library" if built.image.device.emulator is None else runner.place
    _check(graph, built.image, inputs, expected, measurement.outputs, where, progress)
    if built.image.device.emulator is not None:
        host = build(built.host_sources, load_device("host"), directory / "host")
        outputs = run(host, inputs, progress=progress).outputs
        found.append(outputs)
        _check(graph, host, inputs, expected, outputs, "the host library", progress)
    real = real_outputs(graph, measurement.outputs)
    states = stepping_of(built.onnx).states
    if states:
        onnx = run_sequences(built.onnx, samples.inputs, states, progress)
    else:
        onnx = run_onnx(built.onnx, samples.inputs, progress)
    accuracy = Accuracy(
        metric=metric_name(original),
        original=score_module(original, samples),
        pruned=None if pruned is None else score_module(pruned, samples),
        int8=score(original, samples, tuple(a.reshape(b.shape) for a, b in zip(onnx, real, strict=True))),
        emulated=score(original, samples, real),
        samples=samples.count,
    )
    return Proof(inputs, measurement, cost, _verified(graph, samples, expected, found, onnx, real), accuracy)


def _check_frames(
    sequence: Graph, graph: Graph, samples: Samples, expected: tuple[Array, ...], progress: Progress
) -> None:
    """Hold the outputs `expected` of `graph`, run frame by frame, against those of `sequence`, byte for byte."""
    whole = real_outputs(sequence, reference_outputs(sequence, stored_inputs(sequence, samples), progress))
    for tensor, want, got in zip(graph.outputs, whole, real_outputs(graph, expected), strict=True):
        if not np.array_equal(want, got.reshape(want.shape)):
            raise VerificationFailed(
                f"output {tensor.name!r} frame by frame differs from that of a whole sequence; no bundle was written"
            )


def _verified(
    graph: Graph,
    samples: Samples,
    expected: tuple[Array, ...],
    found: Sequence[tuple[Array, ...]],
    onnx: tuple[Array, ...],
    real: tuple[Array, ...],
) -> Verification:
    """What is said of outputs `found` by several builds after each was compared."""
    if not any(tensor.dtype == "float32" for tensor in graph.tensors()):
        steps = expected[0].shape[1] if graph.states else 1
        return Verification(samples.count, True, None, _max_difference(graph, onnx, real), steps=steps)
    to_onnx = _max_difference(graph, onnx, real) if has_islands(graph) else None
    exact = all(np.array_equal(a, b) for one in found for a, b in zip(expected, one, strict=True))
    largest = max(relative_difference(expected, one) for one in found)
    return Verification(samples.count, exact, None, to_onnx, FLOAT_TOLERANCE, largest)


def _check(
    graph: Graph,
    image: Image,
    inputs: tuple[Array, ...],
    expected: tuple[Array, ...],
    found: tuple[Array, ...],
    where: str,
    progress: Progress,
) -> None:
    if has_islands(graph):
        mismatch = _given(graph, image, inputs, expected, found, where, progress)
    else:
        mismatch = verify_outputs(graph, expected, [(where, found)])
        mismatch = mismatch and _by_layer(graph, image, inputs, mismatch, where)
    if mismatch is not None:
        raise VerificationFailed(f"{mismatch}; no bundle was written")


def _given(
    graph: Graph,
    image: Image,
    inputs: tuple[Array, ...],
    expected: tuple[Array, ...],
    found: tuple[Array, ...],
    where: str,
    progress: Progress,
) -> Mismatch | None:
    """The first layer that is wrong given its inputs, or output that its layers do not lead to.

    It looks at the first sample and at every one of which outputs `found` are not those of the reference.
    """
    traced = list(dict.fromkeys([0, *differing_samples(expected, found)]))
    with progress.task(f"Following {len(traced):,} inputs layer by layer", len(traced)) as task:
        for sample in traced:
            one = tuple(array[sample : sample + 1] for array in inputs)
            results = [array[sample] for array in found]
            layers = layer_outputs(image, one)
            mismatch = compare_given(
                graph, image.sources, [a[0] for a in one], sample, layers, where, results
            )
            if mismatch is not None:
                return mismatch
            task.advance()
    return None


def _by_layer(
    graph: Graph, image: Image, inputs: tuple[Array, ...], mismatch: Mismatch, where: str
) -> Mismatch:
    """The same mismatch at the first layer that shows it."""
    sample = runs_to(graph, inputs, mismatch)
    layers = layer_outputs(image, sample)
    first = compare_layers(
        graph, image.sources, [array[0] for array in sample], mismatch.sample, layers, where
    )
    return first or mismatch


def _max_difference(graph: Graph, onnx: tuple[Array, ...], real: tuple[Array, ...]) -> int:
    """Largest difference from onnxruntime over all outputs and samples, in steps of the output's scale."""
    differences = [0.0]
    for tensor, theirs, ours in zip(graph.outputs, onnx, real, strict=True):
        step = tensor.scale if tensor.quant is not None else 1.0
        gap = np.abs(theirs.reshape(ours.shape).astype(np.float64) - ours) / step
        differences.append(float(gap.max(initial=0.0)))
    return round(max(differences))
