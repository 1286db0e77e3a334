"""What an ONNX file says of bytes that stand for its input: a note of the package's own."""

from __future__ import annotations

from typing import Any

from edgeprune.byte_input import ByteInput
from edgeprune.onnx_notes import note_of, with_note

__all__ = ["byte_input_of", "with_byte_input"]

_KEY = "edgeprune.input_uint8"


def with_byte_input(onnx: bytes, image: ByteInput | None) -> bytes:
    """The ONNX file `onnx` with a note of `image`; as it is where `image` is None."""
    return onnx if image is None else with_note(onnx, _KEY, {"mean": image.means, "std": image.stds})


def byte_input_of(onnx: bytes) -> ByteInput | None:
    """What `with_byte_input` wrote, or None.

    Raises:
        UsageError: the note does not say what it should.
    """
    return note_of(onnx, _KEY, _read)


def _read(values: Any) -> ByteInput:
    means, stds = (tuple(map(float, values[key])) for key in ("mean", "std"))
    return ByteInput(means, stds)
