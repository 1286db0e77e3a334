"""What an ONNX file says of bytes that stand for its input: a line of its metadata, which ONNX Runtime ignores.

It travels with the int8 network, so that whatever reads the file makes the same library of it.
"""

from __future__ import annotations

import json

from edgeprune.byte_input import ByteInput
from edgeprune.errors import UsageError

__all__ = ["byte_input_of", "with_byte_input"]

_KEY = "edgeprune.input_uint8"


def with_byte_input(onnx: bytes, image: ByteInput | None) -> bytes:
    """The ONNX file `onnx` with `image` in its metadata; as it is where `image` is None."""
    if image is None:
        return onnx
    from onnx import helper, load_model_from_string

    model = load_model_from_string(onnx)
    kept = {item.key: item.value for item in model.metadata_props}
    helper.set_model_props(model, {**kept, _KEY: json.dumps({"mean": image.means, "std": image.stds})})
    return bytes(model.SerializeToString(deterministic=True))


def byte_input_of(onnx: bytes) -> ByteInput | None:
    """What `with_byte_input` wrote, or None.

    Raises:
        UsageError: the line does not say what it should.
    """
    from onnx import load_model_from_string

    for item in load_model_from_string(onnx).metadata_props:
        if item.key == _KEY:
            return _read(item.value)
    return None


def _read(text: str) -> ByteInput:
    try:
        values = json.loads(text)
        means, stds = (tuple(map(float, values[key])) for key in ("mean", "std"))
        return ByteInput(means, stds)
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise UsageError(f"the ONNX model's metadata {_KEY!r} is damaged: {text!r}") from error
