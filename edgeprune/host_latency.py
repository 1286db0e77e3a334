"""What pruning gains off the microcontroller: the float network against the original, timed on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["HostLatency", "TimedPair", "host_latency"]

_SECONDS = 0.9
"""For each of the two runtimes; with their sessions, about two seconds in all."""
_MOST_RUNS = 400
_LEAST_RUNS = 3
_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class TimedPair:
    """Median milliseconds of one inference, of the original network and of the pruned one."""

    original: float
    pruned: float

    @property
    def ratio(self) -> float:
        """The pruned network's time as a share of the original's."""
        return self.pruned / self.original


@dataclass(frozen=True)
class HostLatency:
    """Both networks in float, batch 1, on one thread; `samples` timed runs of each in either runtime at least."""

    onnxruntime: TimedPair
    torch: TimedPair
    samples: int
    threads: int = 1


def host_latency(
    original: tuple[torch.nn.Module, bytes],
    pruned: tuple[torch.nn.Module, bytes],
    example_inputs: Sequence[torch.Tensor],
) -> HostLatency:
    """Time two networks in turns, so that whatever else the machine does slows both alike.

    Args:
        original: The network as a torch module and as float ONNX.
        pruned: Likewise.
        example_inputs: One tensor [1, *shape] for each input.
    """
    arrays = [tensor.numpy() for tensor in example_inputs]
    in_onnx, runs = _timed(_onnx_run(original[1], arrays), _onnx_run(pruned[1], arrays))
    with _one_thread():
        in_torch, torch_runs = _timed(
            _torch_run(original[0], example_inputs), _torch_run(pruned[0], example_inputs)
        )
    return HostLatency(in_onnx, in_torch, min(runs, torch_runs))


def _timed(original: Callable[[], object], pruned: Callable[[], object]) -> tuple[TimedPair, int]:
    """Medians over interleaved runs, and how many runs of each there were."""
    for _ in range(_WARM_UP_RUNS):
        original()
        pruned()
    times: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + _SECONDS
    while len(times[0]) < _LEAST_RUNS or (len(times[0]) < _MOST_RUNS and time.perf_counter() < deadline):
        for run, found in zip((original, pruned), times, strict=True):
            started = time.perf_counter()
            run()
            found.append(1e3 * (time.perf_counter() - started))
    return TimedPair(*map(statistics.median, times)), len(times[0])


def _onnx_run(data: bytes, inputs: Sequence[Any]) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {value.name: array for value, array in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feed)


def _torch_run(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> Callable[[], object]:
    import torch

    module.eval()

    def run() -> object:
        with torch.no_grad():
            return module(*inputs)

    return run


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
