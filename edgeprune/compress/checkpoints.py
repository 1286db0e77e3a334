"""What a run has finished, kept beside its output, so that one that was killed can go on where it stopped.

A checkpoint folder holds a fingerprint of what was asked and one file per finished stage. Files are written beside
their place and renamed; a stage is whole or absent. The folder goes when the run ends, whether well or with a refusal:
it stays where a run was interrupted or failed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgeprune.config import Settings
from edgeprune.errors import EnvironmentFailure, OverBudget, UsageError
from edgeprune.model import Model
from edgeprune.progress import Progress
from edgeprune.state_file import read_state, write_state
from edgeprune.version import __version__

__all__ = ["Checkpoints", "checkpoints", "fingerprint", "may_resume"]

_FINGERPRINT = "run.json"
_NOT_PART = {"resume", "output", "runner", "port", "board_firmware", "package"}
"""Settings that change nothing about the network that is made."""


@dataclass(frozen=True)
class Checkpoints:
    """The folder of one run's finished stages; it is made when something is first kept in it."""

    folder: Path
    mark: str

    def path(self, stage: str) -> Path:
        """The file of a stage, whether it exists or not, in a folder that does.

        Raises:
            EnvironmentFailure: the folder cannot be made.
        """
        if not (self.folder / _FINGERPRINT).is_file():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                beside = self.folder / f"{_FINGERPRINT}.part"
                beside.write_text(self.mark, encoding="utf-8")
                beside.replace(self.folder / _FINGERPRINT)
            except OSError as error:
                raise EnvironmentFailure(f"cannot write checkpoints to {self.folder}: {error}") from error
        return self.folder / f"{stage}.pt"

    def once(self, stage: str, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What `make` gives, kept: where an earlier run came so far, what it gave then."""
        found = self.load(stage)
        if found is None:
            found = make()
            self.save(stage, found)
        return found

    def load(self, stage: str) -> Mapping[str, Any] | None:
        """What `save` was given for `stage`, or None when the run has not come so far.

        Raises:
            UsageError: the file is damaged.
        """
        place = self.folder / f"{stage}.pt"
        if not place.is_file():
            return None
        found: Mapping[str, Any] = read_state(place, "start anew without --resume")
        return found

    def save(self, stage: str, values: Mapping[str, Any]) -> None:
        """Keep `values`: tensors, numbers, texts and containers of them.

        Raises:
            EnvironmentFailure: the disk is full or not writable.
        """
        write_state(values, self.path(stage))


@contextmanager
def checkpoints(settings: Settings, model: Model, place: Path, progress: Progress) -> Iterator[Checkpoints]:
    """The checkpoints of the run whose output is `place`; without `resume` earlier ones are forgotten.

    They are gone when the block ends, or ends in a refusal; another failure, or an interruption, leaves them.

    Raises:
        UsageError: `resume` is asked for and the checkpoints are of other settings or another network.
    """
    folder = _folder(place)
    mark = json.dumps({"edgeprune": __version__, "run": fingerprint(settings), "network": _digest(model)})
    if not settings.resume:
        shutil.rmtree(folder, ignore_errors=True)
    elif not (folder / _FINGERPRINT).is_file():
        progress.say(f"there is nothing to resume for {place}: starting anew")
        shutil.rmtree(folder, ignore_errors=True)
    elif (folder / _FINGERPRINT).read_text(encoding="utf-8") != mark:
        raise UsageError(
            f"{folder} is of another network, other settings or another version: start anew without --resume"
        )
    try:
        yield Checkpoints(folder, mark)
    except (OverBudget, UsageError) as error:
        if str(folder) not in str(error):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def may_resume(settings: Settings, place: Path) -> bool:
    """Whether checkpoints for `place` are of these settings."""
    try:
        mark = json.loads((_folder(place) / _FINGERPRINT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(mark, dict) and mark.get("run") == fingerprint(settings)


def _folder(place: Path) -> Path:
    return place.parent / f".{place.name}.checkpoint"


def _digest(model: Model) -> str | None:
    """All values of the network that the run starts from."""
    if model.module is None:
        return None
    from edgeprune.train.checkpoint import fingerprint as of_values

    return of_values(model.module)


def fingerprint(settings: Settings) -> str:
    """A digest of every setting and of the files that they name."""
    digest = hashlib.sha256()
    for item in fields(settings):
        if item.name in _NOT_PART:
            continue
        value = getattr(settings, item.name)
        digest.update(f"{item.name}={value!r}\n".encode())
        if isinstance(value, Path) and value.is_file():
            digest.update(value.read_bytes())
    own_device = Path(settings.device)
    if own_device.is_file():
        digest.update(own_device.read_bytes())
    return digest.hexdigest()
