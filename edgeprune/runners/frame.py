"""Frames over a serial line that may flip, lose or repeat bytes: the host's side of serial_frame.c.

A frame is length of the payload (2 bytes), sequence number (2), type (1), payload, and the CRC-32 of all that (4),
words in little-endian order. It travels between two zero bytes and, so that no other byte is zero, in Consistent
Overhead Byte Stuffing (Cheshire and Baker, IEEE/ACM Transactions on Networking 7(2), 1999): a damaged byte harms no
frame but its own, or, if it was a zero, that and the next.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MOST_PAYLOAD", "Frame", "FrameReader", "decode", "encode", "stuff", "unstuff"]

MOST_PAYLOAD = 264
"""Bytes: 256 of data and what a request says about them."""

_HEADER = struct.Struct("<HHB")
_CRC = struct.Struct("<I")
_LONGEST_RUN = 254
_LONGEST_STUFFED = 2 * (_HEADER.size + MOST_PAYLOAD + _CRC.size)
"""More than any frame takes; a longer piece is noise, and is not kept."""


@dataclass(frozen=True)
class Frame:
    """One message."""

    sequence: int
    type: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The frame as it is sent, the zeros around it included."""
    assert len(frame.payload) <= MOST_PAYLOAD, "longer data go in pieces"
    plain = _HEADER.pack(len(frame.payload), frame.sequence, frame.type) + frame.payload
    return b"\0" + stuff(plain + _CRC.pack(zlib.crc32(plain))) + b"\0"


def decode(stuffed: bytes) -> Frame | None:
    """The frame that came between two zeros, or None if it is damaged."""
    plain = unstuff(stuffed)
    if plain is None or len(plain) < _HEADER.size + _CRC.size:
        return None
    body, crc = plain[: -_CRC.size], plain[-_CRC.size :]
    length, sequence, kind = _HEADER.unpack_from(body)
    if _CRC.unpack(crc)[0] != zlib.crc32(body) or length != len(body) - _HEADER.size:
        return None
    return Frame(sequence, kind, body[_HEADER.size :])


def stuff(plain: bytes) -> bytes:
    """`plain` without a zero: runs of up to 254 bytes, each behind its length + 1; shorter ones end in a zero."""
    stuffed = bytearray()
    begin = 0
    while True:
        zero = plain.find(0, begin, begin + _LONGEST_RUN)
        end = min(begin + _LONGEST_RUN, len(plain)) if zero < 0 else zero
        stuffed.append(end - begin + 1)
        stuffed += plain[begin:end]
        if end == len(plain):
            return bytes(stuffed)
        begin = end if end - begin == _LONGEST_RUN else end + 1


def unstuff(stuffed: bytes) -> bytes | None:
    """What `stuff` was given, or None if it cannot have made this."""
    plain = bytearray()
    at = 0
    while at < len(stuffed):
        run = stuffed[at] - 1
        at += 1
        if run < 0 or at + run > len(stuffed):
            return None
        plain += stuffed[at : at + run]
        at += run
        if run < _LONGEST_RUN and at < len(stuffed):
            plain.append(0)
    return bytes(plain)


class FrameReader:
    """Finds frames in what arrives, piece by piece; whatever is not one is dropped."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that `received` completes."""
        self._pending += received
        *pieces, rest = self._pending.split(b"\0")
        self._pending = rest[-_LONGEST_STUFFED:]
        for piece in pieces:
            frame = decode(bytes(piece)) if piece else None
            if frame is not None:
                yield frame
