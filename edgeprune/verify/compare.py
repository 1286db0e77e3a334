"""Comparison of a build with the reference; the first difference is named.

Integers are compared byte for byte. A float is compared within `FLOAT_TOLERANCE` of the largest magnitude in its
tensor: the reference adds in another order, and what cancels leaves an error in proportion to what was added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.codegen import FLOAT_TOLERANCE, Sources
from edgeprune.graph.execute import execute, execute_runs, sequence_outputs
from edgeprune.graph.ir import DTYPES, Array, Graph
from edgeprune.progress import Progress

__all__ = [
    "Mismatch",
    "Verification",
    "compare_layers",
    "differs",
    "first_difference",
    "reference_outputs",
    "relative_difference",
    "runs_to",
    "verify_outputs",
]


@dataclass(frozen=True)
class Mismatch:
    """The first stored value that differs: where, and both values."""

    where: str
    layer: str
    sample: int
    element: int
    expected: float
    found: float

    def __str__(self) -> str:
        return (
            f"{self.where} differs from the reference at layer {self.layer!r}, element {self.element} of sample"
            f" {self.sample}: expected {self.expected:.9g}, found {self.found:.9g}"
        )


@dataclass(frozen=True)
class Verification:
    """What verification found: every run equals the reference, or the first mismatch."""

    samples: int
    bit_exact: bool
    first_mismatch: Mismatch | None
    max_difference_to_onnx: int | None
    tolerance: float | None = None
    """Of float results, relative to the largest magnitude in their tensor; None where all are integers."""
    max_relative_difference: float | None = None
    """The largest there was, of float results."""
    steps: int = 1
    """Runs of each sample, which is a sequence where the network keeps states."""


def reference_outputs(graph: Graph, inputs: Sequence[Array], progress: Progress) -> tuple[Array, ...]:
    """The NumPy reference's stored outputs [N, *shape] for stored inputs [N, *shape].

    With state, a sample is a sequence of runs from a reset on: [N, runs, *shape].
    """
    count = len(inputs[0])
    rows: list[list[Array]] = [[] for _ in graph.outputs]
    with progress.task("reference", count) as task:
        for sample in range(count):
            one = [array[sample] for array in inputs]
            if graph.states:
                results = sequence_outputs(graph, one)
            else:
                values = execute(graph, one)
                results = tuple(values[tensor.name] for tensor in graph.outputs)
            for row, result in zip(rows, results, strict=True):
                row.append(result)
            task.advance()
    return tuple(np.stack(row) for row in rows)


def runs_to(graph: Graph, inputs: Sequence[Array], mismatch: Mismatch) -> tuple[Array, ...]:
    """The inputs of the sample in which `mismatch` is an output's, one array [1, *shape] per input.

    With state, those up to the run in which it is: [1, runs, *shape].
    """
    sample = tuple(array[mismatch.sample : mismatch.sample + 1] for array in inputs)
    if not graph.states:
        return sample
    elements = next((t.elements for t in graph.outputs if t.name == mismatch.layer), 1)
    return tuple(array[:, : mismatch.element // elements + 1] for array in sample)


def verify_outputs(
    graph: Graph, expected: Sequence[Array], runs: Iterable[tuple[str, Sequence[Array]]]
) -> Mismatch | None:
    """The first difference of any run ("host", "emulator") from the expected outputs, or None."""
    for where, outputs in runs:
        for tensor, want, got in zip(graph.outputs, expected, outputs, strict=True):
            mismatch = first_difference(
                where, tensor.name, want.reshape(len(want), -1), got.reshape(len(got), -1)
            )
            if mismatch is not None:
                return mismatch
    return None


def relative_difference(expected: Sequence[Array], outputs: Sequence[Array]) -> float:
    """The largest difference of a float from its reference, relative to the largest magnitude in its tensor."""
    largest = 0.0
    for want, got in zip(expected, outputs, strict=True):
        if want.dtype.kind == "f" and want.size:
            want, got = want.reshape(len(want), -1), got.reshape(len(want), -1)
            apart, scale = _apart(want, got)
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = np.where(apart > 0, apart / scale, 0.0)
            largest = max(largest, float(shares.max()))
    return largest


def compare_layers(
    graph: Graph,
    sources: Sources,
    inputs: Sequence[Array],
    sample: int,
    layers: Sequence[Sequence[bytes]],
    where: str,
) -> Mismatch | None:
    """The first layer whose bytes differ from the reference on stored `inputs` of one sample.

    With state, `inputs` are those of a sequence, [runs, *shape], and `layers` what was left in its last run.
    """
    values = [*execute_runs(graph, inputs)][-1] if graph.states else execute(graph, list(inputs))
    for layer, outputs in zip(sources.layers, layers, strict=True):
        for tensor, raw in zip(layer.outputs, outputs, strict=True):
            want = values[tensor.name].reshape(1, -1)
            got = np.frombuffer(raw, DTYPES[tensor.dtype]).reshape(1, -1)
            mismatch = first_difference(where, layer.name, want, got, sample)
            if mismatch is not None:
                return mismatch
    return None


def first_difference(
    where: str, layer: str, want: Array, got: Array, first_sample: int = 0, steps: int = 0
) -> Mismatch | None:
    """The first of stored values [N, elements] that differs; integers may by so many `steps`."""
    if want.shape != got.shape:
        return Mismatch(where, layer, first_sample, 0, want.size, got.size)
    different = np.argwhere(differs(want, got, steps))
    if not len(different):
        return None
    sample, element = (int(index) for index in different[0])
    expected, found = want[sample, element].item(), got[sample, element].item()
    return Mismatch(where, layer, first_sample + sample, element, expected, found)


def differs(want: Array, got: Array, steps: int = 0) -> Array:
    """Which of stored values [N, elements] differ: floats by more than the tolerance, integers by more than `steps`."""
    if want.dtype.kind != "f":
        return np.asarray(np.abs(want.astype(np.int64) - got.astype(np.int64)) > steps)
    apart, scale = _apart(want, got)
    return ~(apart <= FLOAT_TOLERANCE * scale)


def _apart(want: Array, got: Array) -> tuple[Array, Array]:
    """Distances [N, elements] in float64, 0 between equal infinities and two NaN; the largest magnitude [N, 1]."""
    wide, found = want.astype(np.float64), got.astype(np.float64)
    same = (wide == found) | (np.isnan(wide) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(wide - found))
    scale = np.abs(np.where(np.isfinite(wide), wide, 0.0)).max(axis=1, keepdims=True, initial=0.0)
    return np.where(np.isnan(apart), np.inf, apart), scale
