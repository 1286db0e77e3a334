"""Byte-for-byte comparison of a build with the NumPy reference; the first difference is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.codegen.sources import Sources
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import DTYPES, Array, Graph
from edgeprune.progress import Progress

__all__ = ["Mismatch", "Verification", "compare_layers", "reference_outputs", "verify_outputs"]


@dataclass(frozen=True)
class Mismatch:
    """The first stored value that differs: where, and both values."""

    where: str
    layer: str
    sample: int
    element: int
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"{self.where} differs from the reference at layer {self.layer!r}, element {self.element} of sample"
            f" {self.sample}: expected {self.expected}, found {self.found}"
        )


@dataclass(frozen=True)
class Verification:
    """What verification found: every run equals the reference, or the first mismatch."""

    samples: int
    bit_exact: bool
    first_mismatch: Mismatch | None
    max_difference_to_onnx: int | None


def reference_outputs(graph: Graph, inputs: Sequence[Array], progress: Progress) -> tuple[Array, ...]:
    """The NumPy reference's stored outputs [N, *shape] for stored inputs [N, *shape]."""
    count = len(inputs[0])
    rows: list[list[Array]] = [[] for _ in graph.outputs]
    with progress.task("reference", count) as task:
        for sample in range(count):
            values = execute(graph, [array[sample] for array in inputs])
            for row, tensor in zip(rows, graph.outputs, strict=True):
                row.append(values[tensor.name])
            task.advance()
    return tuple(np.stack(row) for row in rows)


def verify_outputs(
    graph: Graph, expected: Sequence[Array], runs: Iterable[tuple[str, Sequence[Array]]]
) -> Mismatch | None:
    """The first difference of any run ("host", "emulator") from the expected outputs, or None."""
    for where, outputs in runs:
        for tensor, want, got in zip(graph.outputs, expected, outputs, strict=True):
            mismatch = _first_difference(
                where, tensor.name, want.reshape(len(want), -1), got.reshape(len(got), -1)
            )
            if mismatch is not None:
                return mismatch
    return None


def compare_layers(
    graph: Graph,
    sources: Sources,
    inputs: Sequence[Array],
    sample: int,
    layers: Sequence[Sequence[bytes]],
    where: str,
) -> Mismatch | None:
    """The first layer whose bytes differ from the reference on stored `inputs` of one sample."""
    values = execute(graph, list(inputs))
    for layer, outputs in zip(sources.layers, layers, strict=True):
        for tensor, raw in zip(layer.outputs, outputs, strict=True):
            want = values[tensor.name].reshape(1, -1)
            got = np.frombuffer(raw, DTYPES[tensor.dtype]).reshape(1, -1)
            mismatch = _first_difference(where, layer.name, want, got, sample)
            if mismatch is not None:
                return mismatch
    return None


def _first_difference(
    where: str, layer: str, want: Array, got: Array, first_sample: int = 0
) -> Mismatch | None:
    if want.shape != got.shape:
        return Mismatch(where, layer, first_sample, 0, want.size, got.size)
    different = np.argwhere(want != got)
    if not len(different):
        return None
    sample, element = (int(index) for index in different[0])
    found = int(got[sample, element])
    return Mismatch(where, layer, first_sample + sample, element, int(want[sample, element]), found)
