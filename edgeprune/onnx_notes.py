"""Notes in an ONNX file: lines of its metadata, which ONNX Runtime ignores.

They travel with the int8 network, so that whatever reads the file makes the same library of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edgeprune.errors import UsageError

__all__ = ["note_of", "with_note"]

_Note = TypeVar("_Note")


def with_note(onnx: bytes, key: str, values: Mapping[str, object]) -> bytes:
    """The ONNX file `onnx` with `values` under `key`."""
    from onnx import helper, load_model_from_string

    model = load_model_from_string(onnx)
    kept = {item.key: item.value for item in model.metadata_props}
    helper.set_model_props(model, {**kept, key: json.dumps(values)})
    return bytes(model.SerializeToString(deterministic=True))


def note_of(onnx: bytes, key: str, read: Callable[[Any], _Note]) -> _Note | None:
    """What `read` makes of the values that `with_note` wrote under `key`; None where there are none.

    Raises:
        UsageError: they are damaged: `read` takes them for wrong, or they are no JSON.
    """
    from onnx import load_model_from_string

    text = next((i.value for i in load_model_from_string(onnx).metadata_props if i.key == key), None)
    if text is None:
        return None
    try:
        return read(json.loads(text))
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise UsageError(f"the ONNX model's metadata {key!r} is damaged: {text!r}") from error
