"""Running ONNX models in onnxruntime, one sample at a time, and comparing what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress, SilentProgress

__all__ = ["Session", "run_onnx", "serialize", "signal_to_noise_db", "stream_onnx"]


class Session:
    """A batch-1 model loaded into onnxruntime; optimisations of the graph are off.

    Raises:
        UsageError: onnxruntime refuses the model.
    """

    def __init__(self, data: bytes) -> None:
        self._session = _session(data)
        self._names = [value.name for value in self._session.get_inputs()]

    def zeros(self, number: int) -> Array:
        """Zeros of the shape and type of an input of static shape."""
        value = self._session.get_inputs()[number]
        kind = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}[value.type]
        return np.zeros(value.shape, kind)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs [1, ...] for one array [1, *shape] per input.

        Raises:
            UsageError: the inputs are not those of the model.
        """
        if len(self._names) != len(inputs):
            raise UsageError(f"the model has {len(self._names)} inputs, the data {len(inputs)}")
        try:
            outputs: list[Array] = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise UsageError(f"onnxruntime cannot run the model: {_line(error)}") from error
        return outputs


def run_onnx(data: bytes, inputs: Sequence[Array], progress: Progress | None = None) -> tuple[Array, ...]:
    """Outputs [N, ...] of a batch-1 model on N samples, one array [N, *input shape] per input.

    Optimisations of the graph are off, so that every QuantizeLinear rounds where the file says.

    Raises:
        UsageError: onnxruntime refuses the model or the inputs.
    """
    collected: list[list[Array]] = []
    with (progress or SilentProgress()).task("running onnxruntime", len(inputs[0])) as task:
        for outputs in stream_onnx(data, inputs):
            collected.append(outputs)
            task.advance()
    return tuple(np.concatenate(parts) for parts in zip(*collected, strict=True))


def stream_onnx(data: bytes, inputs: Sequence[Array]) -> Iterator[list[Array]]:
    """The outputs of each sample in turn; see `run_onnx`."""
    session = Session(data)
    for index in range(len(inputs[0])):
        yield session.run([array[index : index + 1] for array in inputs])


def serialize(model: ir.Model) -> bytes:
    """The model as the bytes of an ONNX file; equal models give equal bytes."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def signal_to_noise_db(reference: Sequence[Array], actual: Sequence[Array]) -> float:
    """10 log10 of signal over error power: the lowest over pairs of arrays; infinite when they are equal."""
    return min(
        _snr(r.astype(np.float64), a.astype(np.float64)) for r, a in zip(reference, actual, strict=True)
    )


def _snr(reference: Array, actual: Array) -> float:
    noise = float(np.square(reference - actual).sum())
    signal = float(np.square(reference).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(max(signal, 1e-30) / noise))


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise UsageError(f"onnxruntime refuses the model: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
