"""Executes a built library on a batch of inputs, and measures it."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.codegen.sources import Port
from edgeprune.emulate.counters import count
from edgeprune.emulate.machine import BATCH, LAYERS, execute
from edgeprune.emulate.measurement import Latency, Measurement
from edgeprune.errors import VerificationFailed
from edgeprune.firmware import Image
from edgeprune.firmware.toolchain import tool_version
from edgeprune.graph.ir import DTYPES, Array
from edgeprune.progress import Progress, SilentProgress

__all__ = ["first_run", "layer_outputs", "run"]

_CYCLES_PER_INSTRUCTION = 1.5
_CYCLES_MODEL = "1.5 cycles per instruction"
_UNVALIDATED = "unvalidated"


def run(
    image: Image,
    inputs: tuple[Array, ...],
    *,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Measurement:
    """Runs the library on every sample, and once more to count instructions; guard zones are checked.

    Args:
        image: what `firmware.build` made.
        inputs: stored values in the library's layout, one array [N, *tensor.shape] per input of the library (or any
            other shape of as many elements); N >= 1. For a library with state a sample is a sequence of runs from a
            reset on, [N, runs, *tensor.shape], and so are its outputs.
        timeout_s: time limit of each of the three runs.
        progress: told about the samples.

    Raises:
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    progress = progress or SilentProgress()
    stored, steps = _checked(image, inputs)
    samples = len(inputs[0])
    ports = image.sources.outputs
    sample_bytes = steps * sum(port.tensor.bytes for port in ports)
    place = image.device.emulator.machine if image.device.emulator else "this machine"

    with progress.task(f"Running {samples:,} inputs on {place}", samples) as task:
        shown = 0

        def on_output(written: int) -> None:
            nonlocal shown
            done = written // sample_bytes
            task.advance(done - shown)
            shown = done

        answer = execute(
            image, BATCH, stored, counting=False, timeout_s=timeout_s, steps=steps, on_output=on_output
        )
        on_output(len(answer.outputs))
    latency = _latency(image, stored, timeout_s, progress)
    return Measurement(
        outputs=_split(answer.outputs, ports, (samples, steps) if image.sources.has_state else (samples,)),
        stack_bytes=int(answer.results[0]),
        latency=latency,
        tools=_tools(image, latency),
    )


def first_run(image: Image, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """The inputs of the first of all runs, one array [1, *shape] per input; see `run`."""
    stored, _ = _checked(image, inputs)
    return tuple(array[:1] for array in stored)


def layer_outputs(
    image: Image, sample: tuple[Array, ...], *, timeout_s: float = 600.0
) -> tuple[tuple[bytes, ...], ...]:
    """What each layer leaves, as stored bytes: one tuple per layer of `Sources.layers`, one entry per output.

    Of a library with state, it is what they leave in the last run of a sequence.

    Args:
        image: what `firmware.build` made.
        sample: one inference's inputs, one array [1, *shape] per input of the library; with state [1, runs, *shape].
        timeout_s: time limit.

    Raises:
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error, or a
            layer's output has not the size of its tensor.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    assert len(sample[0]) == 1, "layer by layer, one sample at a time"
    stored, steps = _checked(image, sample)
    dump = execute(image, LAYERS, stored, counting=True, timeout_s=timeout_s, steps=steps).outputs
    found, at = [], 0
    for layer in image.sources.layers:
        outputs = []
        for tensor in layer.outputs:
            size = int.from_bytes(dump[at : at + 4], "little")
            if size != tensor.bytes:
                raise VerificationFailed(
                    f"Layer {layer.name!r} left {size} bytes where {tensor.name!r} has {tensor.bytes}: the "
                    "generated library is wrong, please report it."
                )
            outputs.append(dump[at + 4 : at + 4 + size])
            at += 4 + size
        found.append(tuple(outputs))
    return tuple(found)


def _checked(image: Image, inputs: tuple[Array, ...]) -> tuple[tuple[Array, ...], int]:
    """One array [N * runs, *shape] per input, and the runs of a sample, after asserting what the caller promises.

    That is: stored types, sizes, one count of samples, and one run for each where the library has no state.
    """
    ports = image.sources.inputs
    assert len(inputs) == len(ports), "one array per input"
    assert len(inputs[0]) > 0, "at least one sample"
    steps = inputs[0].size // (len(inputs[0]) * ports[0].tensor.elements)
    assert steps == 1 or image.sources.has_state, "one run for each sample"
    for array, port in zip(inputs, ports, strict=True):
        assert array.dtype == DTYPES[port.tensor.dtype], (port.tensor.name, array.dtype)
        assert array.size == len(inputs[0]) * steps * port.tensor.elements, (port.tensor.name, array.shape)
    runs = len(inputs[0]) * steps
    return tuple(
        array.reshape(runs, *port.tensor.shape) for array, port in zip(inputs, ports, strict=True)
    ), steps


def _split(outputs: bytes, ports: tuple[Port, ...], counts: tuple[int, ...]) -> tuple[Array, ...]:
    """One array [*counts, *shape] per output."""
    rows = np.frombuffer(outputs, np.uint8).reshape(math.prod(counts), -1)
    arrays, at = [], 0
    for port in ports:
        tensor = port.tensor
        columns = np.ascontiguousarray(rows[:, at : at + tensor.bytes])
        arrays.append(columns.view(DTYPES[tensor.dtype]).reshape(*counts, *tensor.shape))
        at += tensor.bytes
    return tuple(arrays)


def _latency(image: Image, inputs: tuple[Array, ...], timeout_s: float, progress: Progress) -> Latency | None:
    if image.device.emulator is None:
        return None
    sample = tuple(array[:1] for array in inputs)
    with progress.task("Counting instructions"):
        counts, counter = count(image, sample, timeout_s, progress)
    cycles = round(_CYCLES_PER_INSTRUCTION * counts.total)
    return Latency(
        instructions=counts.total,
        layer_instructions=counts.layers,
        cycles=cycles,
        cycles_model=_CYCLES_MODEL,
        cycles_error=_UNVALIDATED,
        ms=cycles / image.device.clock_hz * 1e3,
        counter=counter,
        blocks=counts.blocks,
    )


def _tools(image: Image, latency: Latency | None) -> dict[str, str]:
    tools = {"gcc": image.compiler, "flags": " ".join(image.flags)}
    emulator = image.device.emulator
    if emulator is not None:
        tools["qemu"] = tool_version(emulator.program)
        tools["machine"] = emulator.machine
    if latency is not None:
        tools["counter"] = latency.counter
    return tools
