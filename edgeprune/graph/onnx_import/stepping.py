"""What an ONNX file says of running it step by step: a line of its metadata, which ONNX Runtime ignores.

It travels with the int8 network, so that whatever reads the file makes the same library of it.
"""

from __future__ import annotations

import json

from edgeprune.errors import UsageError
from edgeprune.stepping import Stepping

__all__ = ["stepping_of", "with_stepping"]

_KEY = "edgeprune.stepping"


def with_stepping(onnx: bytes, stepping: Stepping) -> bytes:
    """The ONNX file `onnx` with `stepping` in its metadata; as it is where nothing is kept between runs."""
    if stepping.is_whole:
        return onnx
    from onnx import helper, load_model_from_string

    model = load_model_from_string(onnx)
    kept = {item.key: item.value for item in model.metadata_props}
    line = json.dumps({"states": stepping.states, "frames": stepping.frames})
    helper.set_model_props(model, {**kept, _KEY: line})
    return bytes(model.SerializeToString(deterministic=True))


def stepping_of(onnx: bytes) -> Stepping:
    """What `with_stepping` wrote; a `Stepping` that keeps nothing where it wrote nothing.

    Raises:
        UsageError: the line does not say what it should.
    """
    from onnx import load_model_from_string

    for item in load_model_from_string(onnx).metadata_props:
        if item.key == _KEY:
            return _read(item.value)
    return Stepping()


def _read(text: str) -> Stepping:
    try:
        values = json.loads(text)
        states = tuple((int(before), int(after)) for before, after in values["states"])
        return Stepping(states, bool(values["frames"]))
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise UsageError(f"the ONNX model's metadata {_KEY!r} is damaged: {text!r}") from error
