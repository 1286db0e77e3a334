"""A board at the end of a serial line, with the firmware of `project.py` on it: flashes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgeprune import emulate
from edgeprune.device import Device
from edgeprune.emulate import Measurement
from edgeprune.errors import EnvironmentFailure, UsageError
from edgeprune.firmware import Image
from edgeprune.graph.ir import DTYPES, Array
from edgeprune.progress import Progress, SilentProgress
from edgeprune.runners.project import FOLDER, LIBRARY, Line, board_project, check_core, fingerprint
from edgeprune.runners.protocol import Board, Inference, Timing, connect
from edgeprune.runners.transport import open_transport

__all__ = ["SerialRunner", "converse", "write_project"]

_COUNTER_RANGE = 1 << 32


@dataclass(frozen=True)
class SerialRunner:
    """Runs libraries on the board at `port`: see `open_transport`.

    Stack, instructions and the estimate of cycles come from the emulator, of the first sample; outputs and cycles of
    every sample from the board.
    """

    port: str
    timing: Timing = field(default_factory=Timing)

    @property
    def place(self) -> str:
        """See `Runner.place`."""
        return f"the board on {self.port}"

    def check(self, device: Device) -> None:
        """See `Runner.check`; some firmware of edgeprune must answer, with whichever library."""
        check_core(device)
        with self._board():
            pass

    def run(
        self, image: Image, inputs: tuple[Array, ...], *, progress: Progress | None = None
    ) -> Measurement:
        """See `Runner.run`."""
        progress = progress or SilentProgress()
        check_core(image.device)
        counted = emulate.run(image, tuple(array[:1] for array in inputs), progress=progress)
        with self._board() as board:
            if board.info.fingerprint != fingerprint(image.sources):
                place = write_project(image, counted.stack_bytes, image.directory / "board")
                raise UsageError(
                    f"{self.place} has another library on it: flash the firmware in {place} (`make` builds it), and "
                    "run the command again"
                )
            return converse(board, image, inputs, counted, progress, self.place)

    @contextmanager
    def _board(self) -> Iterator[Board]:
        transport = open_transport(self.port)
        try:
            yield connect(transport, self.port, self.timing)
        finally:
            transport.close()


def write_project(image: Image, stack_bytes: int, directory: Path, line: Line = "uart") -> Path:
    """Writes the firmware's project and the library beside it below `directory`; returns the project's folder.

    Raises:
        EnvironmentFailure: it cannot be written.
    """
    project = board_project(image, stack_bytes, line)
    try:
        texts = {name: text.encode() for name, text in project.items()}
        for folder, files in ((FOLDER, texts), (LIBRARY, image.sources.contents)):
            (directory / folder).mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                (directory / folder / name).write_bytes(data)
    except OSError as error:
        raise EnvironmentFailure(f"the board's firmware cannot be written to {directory}: {error}") from None
    return directory / FOLDER


def converse(
    board: Board,
    image: Image,
    inputs: tuple[Array, ...],
    counted: Measurement,
    progress: Progress,
    place: str,
) -> Measurement:
    """`counted` with the outputs of every sample, and the cycles they took, from `board`.

    Raises:
        VerificationFailed: the library reported an error.
        EnvironmentFailure: the board stopped answering.
    """
    samples = len(inputs[0])
    done: list[Inference] = []
    with progress.task(f"Running {samples:,} inputs on {place}", samples) as task:
        for index in range(samples):
            sample = tuple(array[index] for array in inputs)
            if image.sources.has_state:
                done += board.infer_sequence([_stored(run) for run in zip(*sample, strict=True)])
            else:
                done.append(board.infer(_stored(sample)))
            task.advance()
    cycles, note = _cycles(board, done)
    return replace(
        counted,
        outputs=_arrays(image, done, samples),
        measured_cycles=cycles,
        measured_clock_hz=board.info.clock_hz or None,
        measured_note=note,
        tools={**counted.tools, "board": place},
    )


def _stored(arrays: Iterable[Array]) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def _cycles(board: Board, done: list[Inference]) -> tuple[tuple[int, ...], str]:
    """Cycles of every inference, and a word on where they come from; or none, and why."""
    clock_hz = board.info.clock_hz
    if not board.info.counts_cycles:
        return (), "the core's cycle counter stands still, as it does in an emulator"
    if any(inference.elapsed_s * clock_hz >= _COUNTER_RANGE for inference in done):
        return (), "an inference may have taken longer than the cycle counter's 32 bits"
    cycles = tuple(inference.cycles for inference in done)
    if clock_hz == 0:
        return cycles, "cycles were counted, but the board's clock is not known"
    return cycles, f"by the core's cycle counter at {clock_hz / 1e6:g} MHz"


def _arrays(image: Image, done: list[Inference], samples: int) -> tuple[Array, ...]:
    """One array [N, *shape] per output of the library; [N, runs, *shape] with state."""
    counts = (samples, -1) if image.sources.has_state else (samples,)
    arrays, at = [], 0
    for port in image.sources.outputs:
        tensor = port.tensor
        pieces = b"".join(inference.outputs[at : at + tensor.bytes] for inference in done)
        arrays.append(np.frombuffer(pieces, DTYPES[tensor.dtype]).reshape(*counts, *tensor.shape))
        at += tensor.bytes
    return tuple(arrays)
