"""What the channels of a network are worth: which stay at a width, and what each width costs in loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance import Criterion, Scores
from edgeprune.prune.sensitivity import Curves, measure

__all__ = ["channel_worth"]


def channel_worth(
    module: torch.nn.Module,
    coupling: Coupling,
    widths: Mapping[str, Sequence[int]],
    criterion: Criterion,
    calibration: Calibration,
    progress: Progress | None = None,
) -> tuple[Scores, Curves]:
    """The channels of each group ranked, and each group's loss at its widths with all others whole.

    Args:
        module: The network; it is not changed.
        coupling: Its groups.
        widths: Per group, the numbers of channels that may stay; groups that are not in `coupling` are passed over.
        criterion: Ranks channels.
        calibration: What both are measured on.
        progress: Told of every step.
    """
    progress = progress or SilentProgress()
    with progress.task("ranking channels"):
        scores = criterion.score(module, coupling, calibration)
    options = {name: tuple(choices) for name, choices in widths.items() if name in scores}
    return scores, measure(module, coupling, scores, options, calibration, progress)
