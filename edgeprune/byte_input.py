"""Bytes of an image as a network's input: what real number each stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeprune.errors import UsageError

__all__ = ["ByteInput", "parse_byte_input"]


@dataclass(frozen=True)
class ByteInput:
    """An image of bytes as the network's input: real = (byte - mean) / std, of all channels or of each."""

    means: tuple[float, ...]
    stds: tuple[float, ...]


def parse_byte_input(mean: str | None, std: str | None) -> ByteInput:
    """`127.5` or `123.7,116.3,103.5`, in bytes; the mean is 0 by default.

    Raises:
        UsageError: one is no such list, there is no std or one that is not above zero, or there are not as many of the
            one as of the other.
    """
    if std is None:
        raise UsageError(
            "--input-uint8 needs --input-std, because a byte stands for (byte - mean) / std: 255 makes numbers from 0 "
            "to 1 of the bytes, and 1 leaves them as they are"
        )
    means = (0.0,) if mean is None else _numbers(mean, "--input-mean")
    stds = _numbers(std, "--input-std")
    if min(stds) <= 0:
        raise UsageError(f"--input-std {std!r} must be greater than zero")
    count = max(len(means), len(stds))
    if {len(means), len(stds)} - {1, count}:
        raise UsageError(
            f"--input-mean has {len(means)} numbers and --input-std {len(stds)}: give one for all channels, or as many"
        )
    pairs = tuple(zip(means * (count // len(means)), stds * (count // len(stds)), strict=True))
    kept = pairs[:1] if len(set(pairs)) == 1 else pairs
    return ByteInput(tuple(pair[0] for pair in kept), tuple(pair[1] for pair in kept))


def _numbers(text: str, what: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise UsageError(
            f"{what} {text!r} is not a list of numbers: write 127.5, or one for each channel, such as 124,116,104"
        )
    return numbers
