"""A board in Python, for tests of the conversation: what templates/firmware/serial_main.c answers, and mishaps."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from edgeprune.runners.frame import Frame, FrameReader, encode

HELLO, WRITE, RUN, READ, RESET = 1, 2, 3, 4, 5
INPUT_BYTES, OUTPUT_BYTES = 600, 300
FINGERPRINT = b"library!"


def inference(inputs: bytes) -> bytes:
    """What the fake library computes."""
    return bytes(255 - value for value in inputs[:OUTPUT_BYTES])


def next_state(state: int, inputs: bytes) -> int:
    """What a run of the fake library leaves, and adds to each of its outputs, where it keeps a state."""
    return (state + inputs[0] + 1) % 256


class FakeBoard:
    """Implements `Transport`.

    Args:
        mishap: told of every request, by its type and how many there were before; names what happens to it: "lost"
            (the request), "unanswered", "restart" (before it), "late" (the answer comes with the next one), or
            nothing.
        version: of the protocol.
        library_status: what `run` returns.
        keeps_state: whether the library has a state.
    """

    def __init__(
        self,
        mishap: Callable[[int, int], str] = lambda kind, count: "",
        version: int = 1,
        library_status: int = 0,
        keeps_state: bool = False,
    ) -> None:
        self.runs = 0
        self._mishap, self._version, self._library_status = mishap, version, library_status
        self._keeps_state = keeps_state
        self._requests = 0
        self._reader = FrameReader()
        self._sent = b""
        self._late = b""
        self._restart()

    def write(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            mishap = self._mishap(frame.type, self._requests)
            self._requests += 1
            if mishap == "restart":
                self._restart()
            if mishap == "lost":
                continue
            answer = encode(Frame(frame.sequence, frame.type | 0x80, self._answer(frame.type, frame.payload)))
            if mishap == "late":
                self._late += answer
            elif mishap != "unanswered":
                self._sent += self._late + answer
                self._late = b""

    def read(self, timeout_s: float) -> bytes:
        del timeout_s
        sent, self._sent = self._sent, b""
        return sent

    def close(self) -> None:
        pass

    def _restart(self) -> None:
        self._memory = bytearray(INPUT_BYTES)
        self._outputs = bytes(OUTPUT_BYTES)
        self._last = self._state = 0

    def _answer(self, kind: int, payload: bytes) -> bytes:
        if kind == HELLO:
            self._last = 0
            info = struct.pack("<BBx8s", self._version, 1, FINGERPRINT)
            return b"\0" + info + struct.pack("<III", INPUT_BYTES, OUTPUT_BYTES, 100_000_000)
        if kind == WRITE:
            (offset,) = struct.unpack_from("<I", payload)
            self._memory[offset : offset + len(payload) - 4] = payload[4:]
            return b"\0"
        if kind == RESET and self._keeps_state:
            (self._last,), self._state = struct.unpack("<I", payload), 0
            return b"\0"
        if kind == RUN:
            return self._run(*struct.unpack("<II", payload))
        number, offset, size = struct.unpack("<III", payload)
        return b"\0" + self._outputs[offset : offset + size] if number == self._last else b"\3"

    def _run(self, number: int, crc: int) -> bytes:
        if number != self._last:
            if self._keeps_state and (self._last == 0 or number != self._last + 1):
                return b"\3"
            if crc != zlib.crc32(self._memory):
                return b"\2"
            self.runs += 1
            if self._keeps_state:
                self._state = next_state(self._state, bytes(self._memory))
            self._outputs = bytes((value + self._state) % 256 for value in inference(bytes(self._memory)))
            self._memory[:] = self._outputs * 2  # `run` overwrites its inputs
            self._last = number
        status = b"\4" if self._library_status else b"\0"
        return status + struct.pack("<3xII", 1234, self._library_status)
