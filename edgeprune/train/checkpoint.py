"""The state of an unfinished training in a file: whole or not at all, and only ever used for the same training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgeprune.state_file import read_state, write_state

__all__ = ["CheckpointFile", "fingerprint"]

_FORMAT = 1
_SAVE_EVERY_S = 20.0


def fingerprint(module: torch.nn.Module, *conditions: object) -> str:
    """What a training starts from, in 64 digits: all values of `module`, and what `conditions` print as."""
    digest = hashlib.sha256("\n".join(map(str, (_FORMAT, *conditions))).encode())
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()


class CheckpointFile:
    """Where one training keeps its state; without a path it keeps none.

    The file holds plain tensors, numbers and text, and is loaded as nothing else. A file of another training, by
    its fingerprint, is not used, and is replaced by the first save.
    """

    def __init__(self, path: Path | None, mark: str) -> None:
        self._path, self._mark = path, mark
        self._saved_at = time.monotonic()
        self._exists = False

    @property
    def path(self) -> Path | None:
        """The file, if it holds a state of this training."""
        return self._path if self._exists else None

    def load(self) -> dict[str, Any] | None:
        """The state saved last, on the CPU; None if there is none of this training.

        Raises:
            UsageError: the file is damaged.
        """
        if self._path is None or not self._path.exists():
            return None
        content = read_state(self._path, "delete it to start this training anew")
        if not isinstance(content, dict) or content.get("fingerprint") != self._mark:
            return None
        self._exists = True
        state = content["state"]
        assert isinstance(state, dict)
        return state

    def is_due(self) -> bool:
        """Whether so much time has passed since the last save that the next is worth it."""
        return self._path is not None and time.monotonic() - self._saved_at >= _SAVE_EVERY_S

    def save(self, state: Mapping[str, Any]) -> None:
        """Put `state` in the place of what was saved before, at once.

        Raises:
            EnvironmentFailure: the disk is full or not writable.
        """
        if self._path is None:
            return
        write_state({"fingerprint": self._mark, "state": dict(state)}, self._path)
        self._exists = True
        self._saved_at = time.monotonic()

    def keep_good(self, values: Mapping[str, Any]) -> Path | None:
        """Keep the values of a network beside the state, where there is a place: a plain state_dict."""
        if self._path is None:
            return None
        beside = self._path.with_suffix(".good.pt")
        write_state(values, beside)
        return beside
