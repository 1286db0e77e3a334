"""Runs a firmware in QEMU, or on the development machine, and hands files in and out."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeprune.errors import EnvironmentFailure, VerificationFailed
from edgeprune.firmware import Image
from edgeprune.firmware.toolchain import require
from edgeprune.graph.ir import Array

__all__ = ["BATCH", "COUNT", "LAYERS", "Answer", "execute"]

BATCH, COUNT, LAYERS = 0, 1, 2
"""What a firmware can be asked for: outputs of all samples, times of one inference, outputs of every layer."""

_FIRST_TESTBED_STATUS, _FILE_FAILED = 64, 66
"""Exit statuses of templates/firmware/testbed_platform.h."""

_POLL_S = 0.02
_LOG_TAIL = 300


@dataclass(frozen=True, eq=False)
class Answer:
    """What a run left: outputs.bin as bytes, results.bin as unsigned words."""

    outputs: bytes
    results: Array


def execute(
    image: Image,
    request: int,
    inputs: tuple[Array, ...],
    *,
    counting: bool,
    timeout_s: float,
    icount_shift: int | None = None,
    options: tuple[str, ...] = (),
    steps: int = 1,
    on_output: Callable[[int], None] = lambda _: None,
) -> Answer:
    """Runs one of the image's two firmwares on `inputs`, one array [N, *shape] per input of the library.

    Args:
        image: what `firmware.build` made.
        request: BATCH, COUNT or LAYERS.
        inputs: stored values in the library's layout.
        counting: whether to run the firmware that has the layer callback.
        timeout_s: how long it may take.
        icount_shift: if given, an instruction takes 2**icount_shift nanoseconds of the emulator's virtual time.
        options: further options of the emulator.
        steps: runs of a sequence, before each of which a library with state is reset; a sample is a run.
        on_output: told now and then how many bytes of output there are.

    Raises:
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    kind = f"{['batch', 'count', 'layers'][request]}{'.counting' if counting else ''}"
    folder = image.directory / f"run.{kind}"
    log = folder / "log.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in ("outputs.bin", "results.bin"):
            (folder / stale).unlink(missing_ok=True)
        (folder / "request.bin").write_bytes(np.array([request, len(inputs[0]), steps], "<u4").tobytes())
        (folder / "inputs.bin").write_bytes(_interleave(inputs))
        elf = image.counting_elf if counting else image.elf
        command = _command(image, elf, icount_shift, options)
        status = _run(command, folder, log, timeout_s, on_output)
        _explain(status, image, log)
        results = np.frombuffer((folder / "results.bin").read_bytes(), "<u4")
        return Answer((folder / "outputs.bin").read_bytes(), results)
    except OSError as error:
        raise EnvironmentFailure(f"The firmware could not be run in {folder}: {error}.") from None


def _interleave(inputs: tuple[Array, ...]) -> bytes:
    """Sample after sample, and within a sample input after input."""
    rows = [np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8) for array in inputs]
    return np.concatenate(rows, axis=1).tobytes()


def _command(image: Image, elf: Path, icount_shift: int | None, options: tuple[str, ...]) -> list[str]:
    emulator = image.device.emulator
    if emulator is None:
        return [str(elf)]
    command = [require(emulator.program), "-M", emulator.machine, "-nodefaults", "-display", "none"]
    if emulator.cpu is not None:
        command += ["-cpu", emulator.cpu]
    if emulator.program != "qemu-system-arm":
        command += ["-bios", "none"]
    command += ["-nic", "none", "-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    if icount_shift is not None:
        command += ["-icount", f"shift={icount_shift},align=off,sleep=off"]
    return [*command, *options]


def _run(
    command: list[str], folder: Path, log: Path, timeout_s: float, on_output: Callable[[int], None]
) -> int:
    """Runs `command` in `folder` with its output in `log`; returns its exit status."""
    outputs = folder / "outputs.bin"
    deadline = time.monotonic() + timeout_s
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            while True:
                try:
                    return process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    on_output(outputs.stat().st_size if outputs.exists() else 0)
                if time.monotonic() > deadline:
                    raise VerificationFailed(
                        f"The firmware did not end within {timeout_s:g} s: it hangs or the time limit is too "
                        f"short, its output is in {log}."
                    )
        finally:
            process.kill()


def _explain(status: int, image: Image, log: Path) -> None:
    """Raises what an exit status other than 0 means."""
    if status == 0:
        return
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    place = image.device.emulator.machine if image.device.emulator else "the development machine"
    library = image.sources.prefix
    if status >= _FIRST_TESTBED_STATUS and "testbed: " in said:
        reason = said.rpartition("testbed: ")[2].splitlines()[0]
        failure = EnvironmentFailure if status == _FILE_FAILED else VerificationFailed
        raise failure(f"Library {library} failed on {place}: {reason}; the log is {log}.")
    if status < 0 and (image.device.emulator is None or "Lockup" in said):
        signal = "a lockup" if image.device.emulator else f"signal {-status}"
        raise VerificationFailed(f"Library {library} failed on {place}: {signal}; the log is {log}.")
    tail = said[-_LOG_TAIL:].replace(os.linesep, " ")
    raise EnvironmentFailure(f"The emulator ended with status {status} ({tail!r}); the log is {log}.")
