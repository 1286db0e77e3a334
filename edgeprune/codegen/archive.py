"""A static library of object files, each of which defines one function: `ar`'s format with its table of symbols.

The format is that of the System V ABI, chapter 7 ("Archive File"), which linkers read: after a magic line, members of a
60-byte header and even length; the first, called "/", lists in big-endian where each symbol's member begins, the next,
called "//", holds names longer than 15 characters. Dates and owners are zero, so that the same objects give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["archive"]

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60


def archive(objects: Mapping[str, bytes]) -> bytes:
    """The static library of `objects`, ELF files by the one symbol that each defines."""
    names, places = b"", []
    for symbol in objects:
        places.append(len(names))
        names += f"{symbol}.o/\n".encode()
    members = [_member(f"/{place}", data) for place, data in zip(places, objects.values(), strict=True)]
    long_names = _member("//", names)
    symbols = b"".join(symbol.encode() + b"\0" for symbol in objects)
    index_bytes = 4 + 4 * len(objects) + len(symbols)
    offset = len(_MAGIC) + _HEADER_BYTES + index_bytes + index_bytes % 2 + len(long_names)
    offsets = []
    for member in members:
        offsets.append(offset)
        offset += len(member)
    index = b"".join(number.to_bytes(4, "big") for number in (len(objects), *offsets)) + symbols
    return b"".join([_MAGIC, _member("/", index), long_names, *members])


def _member(name: str, data: bytes) -> bytes:
    """A header of name, date, owner, group, mode and size, then the data up to an even length."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n".encode()
    assert len(header) == _HEADER_BYTES, f"{name} or its size does not fit a header"
    return header + data + b"\n" * (len(data) % 2)
