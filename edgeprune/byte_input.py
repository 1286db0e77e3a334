"""Bytes of an image as a network's input: what real number each stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeprune.errors import UsageError

__all__ = ["ByteInput", "parse_byte_input"]


@dataclass(frozen=True)
class ByteInput:
    """An image of bytes as the network's input: real = (byte - mean) / std, of all channels or of each.

    Raises:
        ValueError: there is no std for each mean, one is not above zero, or a byte stands for what no float32 holds.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.means or len(self.means) != len(self.stds):
            raise ValueError(f"there are {len(self.means)} means for {len(self.stds)} stds")
        import numpy as np  # the command line reads this file, and starts without numpy

        with np.errstate(all="ignore"):
            means, stds = np.array(self.means).astype(np.float32), np.array(self.stds).astype(np.float32)
            ends = (np.array([[0.0], [255.0]], np.float32) - means) / stds
        if not (stds > 0).all():
            raise ValueError("every std must be greater than zero, as a float of 32 bits")
        if not (np.isfinite(stds).all() and np.isfinite(ends).all()):
            raise ValueError("std and (byte - mean) / std must be finite floats of 32 bits")


def parse_byte_input(mean: str | None, std: str | None) -> ByteInput:
    """`127.5` or `123.7,116.3,103.5`, in bytes; the mean is 0 by default.

    Raises:
        UsageError: one is no such list, there is no std, there are not as many of the one as of the other, or they make
            no `ByteInput`.
    """
    if std is None:
        raise UsageError(
            "--input-uint8 needs --input-std, because a byte stands for (byte - mean) / std: 255 makes numbers from 0 "
            "to 1 of the bytes, and 1 leaves them as they are"
        )
    means = (0.0,) if mean is None else _numbers(mean, "--input-mean")
    stds = _numbers(std, "--input-std")
    count = max(len(means), len(stds))
    if {len(means), len(stds)} - {1, count}:
        raise UsageError(
            f"--input-mean has {len(means)} numbers and --input-std {len(stds)}: give one for all channels, or as many"
        )
    pairs = tuple(zip(means * (count // len(means)), stds * (count // len(stds)), strict=True))
    kept = pairs[:1] if len(set(pairs)) == 1 else pairs
    try:
        return ByteInput(tuple(pair[0] for pair in kept), tuple(pair[1] for pair in kept))
    except ValueError as error:
        raise UsageError(f"--input-mean {mean or '0'} and --input-std {std}: {error}") from error


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
