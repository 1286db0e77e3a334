"""Files of tensors and numbers that a run keeps: written whole or not at all, read as nothing but data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune.errors import EnvironmentFailure, UsageError

__all__ = ["read_state", "write_state"]


def write_state(content: Mapping[str, Any], place: Path) -> None:
    """Write tensors, numbers, texts and containers of them beside `place`, then rename the file.

    Raises:
        EnvironmentFailure: the disk is full or not writable.
    """
    import torch

    beside: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        beside = Path(name)
        with os.fdopen(handle, "wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise EnvironmentFailure(f"cannot write the checkpoint {place}: {error}") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def read_state(place: Path, advice: str) -> Any:
    """What `write_state` was given, on the CPU; a file that holds code is damaged.

    Raises:
        UsageError: the file is damaged; the sentence ends with `advice`.
    """
    import torch

    try:
        return torch.load(place, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged files fails in many ways
        raise UsageError(f"the checkpoint {place} is damaged: {advice}") from error
