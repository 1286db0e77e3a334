"""A serial line made of memory: two rings of bytes that a debug probe fills and empties while the core runs.

The other side is templates/firmware/serial_board_mailbox.c. A ring is two words, how many bytes were written and how
many were read (both modulo 2**32), and its bytes.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["MailboxTransport", "Memory"]

_WRITTEN, _READ, _BYTES = 0, 4, 8
_MODULUS = 1 << 32
_POLL_S = 0.001


class Memory(Protocol):
    """A running core's memory, as a probe sees it."""

    def read_word(self, address: int) -> int:
        """The 32-bit word at `address`."""

    def write_word(self, address: int, value: int) -> None:
        """Writes a 32-bit word."""

    def read_bytes(self, address: int, size: int) -> bytes:
        """`size` bytes from `address` on."""

    def write_bytes(self, address: int, data: bytes) -> None:
        """Writes bytes."""


class MailboxTransport:
    """Implements `Transport`.

    Args:
        memory: the core's.
        to_board: address of the ring that the board reads.
        from_board: address of the ring that it writes.
        ring_bytes: how many bytes are in each.
    """

    def __init__(self, memory: Memory, to_board: int, from_board: int, ring_bytes: int) -> None:
        self._memory = memory
        self._to_board, self._from_board = to_board, from_board
        self._ring_bytes = ring_bytes

    def write(self, data: bytes) -> None:
        """Puts as much of `data` into the ring as there is room for; what a core that hangs loses is sent again."""
        written = self._memory.read_word(self._to_board + _WRITTEN)
        waiting = (written - self._memory.read_word(self._to_board + _READ)) % _MODULUS
        data = data[: max(self._ring_bytes - waiting, 0)]
        begin = written % self._ring_bytes
        first = data[: self._ring_bytes - begin]
        self._memory.write_bytes(self._to_board + _BYTES + begin, first)
        if len(data) > len(first):
            self._memory.write_bytes(self._to_board + _BYTES, data[len(first) :])
        self._memory.write_word(self._to_board + _WRITTEN, (written + len(data)) % _MODULUS)

    def read(self, timeout_s: float) -> bytes:
        """See `Transport.read`."""
        deadline = time.monotonic() + timeout_s
        while True:
            read = self._memory.read_word(self._from_board + _READ)
            waiting = (self._memory.read_word(self._from_board + _WRITTEN) - read) % _MODULUS
            if 0 < waiting <= self._ring_bytes:
                return self._take(read, waiting)
            if time.monotonic() >= deadline:
                return b""
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Nothing: the probe belongs to the caller."""

    def _take(self, read: int, size: int) -> bytes:
        begin = read % self._ring_bytes
        first = min(size, self._ring_bytes - begin)
        data = self._memory.read_bytes(self._from_board + _BYTES + begin, first)
        if size > first:
            data += self._memory.read_bytes(self._from_board + _BYTES, size - first)
        self._memory.write_word(self._from_board + _READ, (read + size) % _MODULUS)
        return data
