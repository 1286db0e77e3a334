"""Executes a built library on a batch of inputs, and measures it."""

from __future__ import annotations

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

__all__ = ["layer_outputs", "run"]

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
            other shape of as many elements); N >= 1.
        timeout_s: time limit of each of the three runs.
        progress: told about the samples.

    Raises:
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    progress = progress or SilentProgress()
    stored = _checked(image, inputs)
    samples = len(stored[0])
    ports = image.sources.outputs
    sample_bytes = sum(port.tensor.bytes for port in ports)
    place = image.device.emulator.machine if image.device.emulator else "this machine"

    with progress.task(f"Running {samples:,} inputs on {place}", samples) as task:
        shown = 0

        def on_output(written: int) -> None:
            nonlocal shown
            done = written // sample_bytes
            task.advance(done - shown)
            shown = done

        answer = execute(image, BATCH, stored, counting=False, timeout_s=timeout_s, on_output=on_output)
        on_output(len(answer.outputs))
    latency = _latency(image, stored, timeout_s, progress)
    return Measurement(
        outputs=_split(answer.outputs, ports, samples),
        stack_bytes=int(answer.results[0]),
        latency=latency,
        tools=_tools(image, latency),
    )


def layer_outputs(
    image: Image, sample: tuple[Array, ...], *, timeout_s: float = 600.0
) -> tuple[tuple[bytes, ...], ...]:
    """What each layer leaves, as stored bytes: one tuple per layer of `Sources.layers`, one entry per output.

    Args:
        image: what `firmware.build` made.
        sample: one inference's inputs, one array [1, *shape] per input of the library.
        timeout_s: time limit.

    Raises:
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error, or a
            layer's output has not the size of its tensor.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    stored = _checked(image, sample)
    assert len(stored[0]) == 1, "layer by layer, one sample at a time"
    dump = execute(image, LAYERS, stored, counting=True, timeout_s=timeout_s).outputs
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


def _checked(image: Image, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """The inputs, after asserting what the caller promises: stored types, sizes, one count of samples."""
    ports = image.sources.inputs
    assert len(inputs) == len(ports), "one array per input"
    assert len(inputs[0]) > 0, "at least one sample"
    for array, port in zip(inputs, ports, strict=True):
        assert array.dtype == DTYPES[port.tensor.dtype], (port.tensor.name, array.dtype)
        assert array.size == len(inputs[0]) * port.tensor.elements, (port.tensor.name, array.shape)
    return inputs


def _split(outputs: bytes, ports: tuple[Port, ...], samples: int) -> tuple[Array, ...]:
    rows = np.frombuffer(outputs, np.uint8).reshape(samples, -1)
    arrays, at = [], 0
    for port in ports:
        tensor = port.tensor
        columns = np.ascontiguousarray(rows[:, at : at + tensor.bytes])
        arrays.append(columns.view(DTYPES[tensor.dtype]).reshape(samples, *tensor.shape))
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
