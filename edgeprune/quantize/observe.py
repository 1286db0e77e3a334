"""What flows through a float model on the calibration data: for each sharing group its range and histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress
from edgeprune.quantize.run import serialize, stream_onnx
from edgeprune.quantize.sharing import Group

__all__ = ["BINS", "Histogram", "observe", "with_outputs"]

BINS = 2048


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values in `BINS` equal bins over [low, high]; one bin holds everything where low == high."""

    low: float
    high: float
    counts: Array

    @property
    def centers(self) -> Array:
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS) + 0.5)


def observe(
    model: ir.Model, groups: Sequence[Group], inputs: Sequence[Array], progress: Progress
) -> Mapping[Group, Histogram]:
    """Run the model on every sample, twice: once for the ranges, once for histograms within them.

    Raises:
        UsageError: onnxruntime cannot run the model, or a value becomes NaN or infinite.
    """
    data = with_outputs(model, [value for group in groups for value in group.sources])
    owners = [group for group in groups for _ in group.sources]
    low = dict.fromkeys(groups, np.inf)
    high = dict.fromkeys(groups, -np.inf)
    counts = {group: np.zeros(BINS, np.int64) for group in groups}
    with progress.task("calibrating", 2 * len(inputs[0])) as task:
        for outputs in stream_onnx(data, inputs):
            for group, array in zip(owners, outputs, strict=True):
                smallest, largest = float(array.min()), float(array.max())
                if not (np.isfinite(smallest) and np.isfinite(largest)):
                    raise UsageError(f"value {group.name!r} becomes NaN or infinite on the calibration data")
                low[group], high[group] = min(low[group], smallest), max(high[group], largest)
            task.advance()
        for outputs in stream_onnx(data, inputs):
            for group, array in zip(owners, outputs, strict=True):
                counts[group] += _count(array, low[group], high[group])
            task.advance()
    return {group: Histogram(low[group], high[group], counts[group]) for group in groups}


def _count(array: Array, low: float, high: float) -> Array:
    if high <= low:
        counts = np.zeros(BINS, np.int64)
        counts[0] = array.size
        return counts
    bins = ((array.ravel() - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int32)
    return np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)


def with_outputs(model: ir.Model, values: Sequence[ir.Value]) -> bytes:
    """The model's bytes with `values` as its outputs, in that order."""
    kept = list(model.graph.outputs)
    model.graph.outputs[:] = values
    try:
        return serialize(model)
    finally:
        model.graph.outputs[:] = kept
