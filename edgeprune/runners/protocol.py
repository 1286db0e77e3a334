"""The conversation with templates/firmware/serial_main.c: requests, answers, and what to do when they get lost.

One request is under way at a time. It is sent again under the same sequence number until its answer arrives; the
firmware may therefore meet a request twice, and doing it again changes nothing there. Bytes keep their order, so a
late copy of a request or of an answer arrives before the next request's, and is told apart by its number.
"""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgeprune.errors import EnvironmentFailure, VerificationFailed
from edgeprune.runners.frame import Frame, FrameReader, encode
from edgeprune.runners.transport import Transport

__all__ = ["VERSION", "Board", "BoardInfo", "Timing", "connect"]

VERSION = 1
"""Of the protocol."""

_HELLO, _WRITE, _RUN, _READ, _RESET = 1, 2, 3, 4, 5
_ANSWER = 0x80
_OK, _BAD_INPUTS, _NOT_RUN, _LIBRARY_FAILED = 0, 2, 3, 4
_PIECE_BYTES = 256
_RESTARTS = 3
_Done = TypeVar("_Done")
_INFO = struct.Struct("<BB x 8s III")
_RAN = struct.Struct("<3x II")


@dataclass(frozen=True)
class Timing:
    """How long to wait, in seconds.

    Attributes:
        answer_s: for an answer, before the request is sent again; doubled each time, up to eight times as much.
        silence_s: for any answer to a request that takes the board no time.
        inference_s: for the answer to an inference.
    """

    answer_s: float = 0.5
    silence_s: float = 10.0
    inference_s: float = 120.0


@dataclass(frozen=True)
class BoardInfo:
    """What the firmware says about itself; `clock_hz` is the core's, 0 where it is not known."""

    counts_cycles: bool
    fingerprint: bytes
    input_bytes: int
    output_bytes: int
    clock_hz: int


@dataclass(frozen=True)
class Inference:
    """Stored outputs, one after the other, and the difference of the cycle counter, which has 32 bits."""

    outputs: bytes
    cycles: int
    elapsed_s: float


class _Restarted(Exception):
    """The board does not have what it was given: it must have started anew."""


class Board:
    """A board whose firmware answers. Inferences are numbered from 1."""

    def __init__(self, transport: Transport, port: str, timing: Timing) -> None:
        self._transport = transport
        self._port = port
        self._timing = timing
        self._reader = FrameReader()
        self._sequence = secrets.randbelow(1 << 16)  # so that no answer to an earlier session's request fits
        self._number = 0
        self.resent = 0
        """Requests that had to be sent again."""
        self.info = self._hello()

    def infer(self, inputs: bytes) -> Inference:
        """Runs the library on the stored inputs of one sample, one input after the other.

        Raises:
            VerificationFailed: the library reported an error.
            EnvironmentFailure: the board does not answer, or keeps restarting.
        """
        return self._despite_restarts(lambda: self._infer(inputs))

    def infer_sequence(self, runs: Sequence[bytes]) -> tuple[Inference, ...]:
        """Resets a library with state, and runs it on the stored inputs of each run.

        Raises:
            VerificationFailed: the library reported an error.
            EnvironmentFailure: the board does not answer, or keeps restarting.
        """

        def reset_and_infer() -> tuple[Inference, ...]:
            self._number += 1
            self._accepted(self._ask(_RESET, struct.pack("<I", self._number), self._timing.silence_s))
            return tuple(self._infer(inputs) for inputs in runs)

        return self._despite_restarts(reset_and_infer)

    def _despite_restarts(self, attempt: Callable[[], _Done]) -> _Done:
        for _ in range(_RESTARTS):
            try:
                return attempt()
            except _Restarted:
                continue
        raise EnvironmentFailure(
            f"the board on {self._port} restarts during an inference: look for a fault or a watchdog there"
        )

    def _hello(self) -> BoardInfo:
        answer = self._ask(_HELLO, b"", self._timing.silence_s)
        version = answer[1] if len(answer) > 1 else 0
        if answer[0] != _OK or version != VERSION or len(answer) != 1 + _INFO.size:
            raise EnvironmentFailure(
                f"the firmware on {self._port} speaks version {version} of the protocol and edgeprune {VERSION}: "
                "build and flash it again"
            )
        _, counts, fingerprint, input_bytes, output_bytes, clock_hz = _INFO.unpack(answer[1:])
        return BoardInfo(bool(counts), fingerprint, input_bytes, output_bytes, clock_hz)

    def _infer(self, inputs: bytes) -> Inference:
        self._number += 1
        for offset in range(0, len(inputs), _PIECE_BYTES):
            piece = inputs[offset : offset + _PIECE_BYTES]
            self._accepted(self._ask(_WRITE, struct.pack("<I", offset) + piece, self._timing.silence_s))
        started = time.monotonic()
        request = struct.pack("<II", self._number, zlib.crc32(inputs))
        answer = self._accepted(self._ask(_RUN, request, self._timing.inference_s))
        elapsed_s = time.monotonic() - started
        cycles, status = _RAN.unpack(answer[1:])
        if answer[0] == _LIBRARY_FAILED:
            raise VerificationFailed(f"the library on {self._port} reported the error {status}")
        return Inference(self._outputs(), cycles, elapsed_s)

    def _outputs(self) -> bytes:
        outputs = b""
        while len(outputs) < self.info.output_bytes:
            size = min(_PIECE_BYTES, self.info.output_bytes - len(outputs))
            request = struct.pack("<III", self._number, len(outputs), size)
            outputs += self._accepted(self._ask(_READ, request, self._timing.silence_s))[1:]
        return outputs

    def _accepted(self, answer: bytes) -> bytes:
        if answer[0] in (_BAD_INPUTS, _NOT_RUN):
            raise _Restarted
        if answer[0] not in (_OK, _LIBRARY_FAILED):
            raise EnvironmentFailure(
                f"the firmware on {self._port} refused a request: build and flash it again"
            )
        return answer

    def _ask(self, kind: int, payload: bytes, patience_s: float) -> bytes:
        """Sends a request until its answer arrives; returns the answer's payload, which begins with a status."""
        self._sequence = (self._sequence + 1) % (1 << 16)
        request = encode(Frame(self._sequence, kind, payload))
        wait_s, deadline = self._timing.answer_s, time.monotonic() + patience_s
        self._transport.write(request)
        while True:
            answer = self._answer(kind, min(time.monotonic() + wait_s, deadline))
            if answer is not None:
                return answer
            if time.monotonic() >= deadline:
                raise EnvironmentFailure(self._silence(kind, patience_s))
            self.resent += 1
            self._transport.write(request)
            wait_s = min(2 * wait_s, 8 * self._timing.answer_s)

    def _answer(self, kind: int, deadline: float) -> bytes | None:
        while (remaining_s := deadline - time.monotonic()) > 0:
            for frame in self._reader.feed(self._transport.read(remaining_s)):
                if frame.sequence == self._sequence and frame.type == kind | _ANSWER and frame.payload:
                    return frame.payload
        return None

    def _silence(self, kind: int, patience_s: float) -> str:
        if kind == _HELLO:
            return (
                f"no firmware of edgeprune answers on {self._port} within {patience_s:g} s: write one with "
                "`edgeprune deploy --board-firmware`, flash it, and see that wires and baud rate are right"
            )
        doing = "the inference hangs or faults there" if kind == _RUN else "it stopped, or the line is cut"
        return f"the board on {self._port} gave no answer within {patience_s:g} s: {doing}"


def connect(transport: Transport, port: str, timing: Timing | None = None) -> Board:
    """The board at the other end of `transport`, after it said what it is.

    Args:
        transport: the way there.
        port: how sentences call it.
        timing: how long to wait.

    Raises:
        EnvironmentFailure: nothing answers, or it speaks another version of the protocol.
    """
    return Board(transport, port, timing or Timing())
