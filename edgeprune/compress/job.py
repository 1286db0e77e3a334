"""`Job`: what every stage of one pruning run is told."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.compress.builder import Builder
from edgeprune.compress.checkpoints import Checkpoints
from edgeprune.config import Settings
from edgeprune.progress import Progress

__all__ = ["Job"]


@dataclass(frozen=True, eq=False)
class Job:
    """What was asked for, what builds networks, where finished stages are kept, and who is told."""

    settings: Settings
    builder: Builder
    kept: Checkpoints
    progress: Progress
