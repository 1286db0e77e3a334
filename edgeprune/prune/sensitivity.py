"""What each group's width costs in loss, measured: the group is cut to a few widths and the data judges it.

Each cut is judged with its readers corrected for it (see `edgeprune.prune.reconstruct`), as they will be when it is
carried out, fitted to one half of the data and judged by the other; where nothing can be corrected, with batch-norm
statistics estimated anew.
Cuts are masks, which are the same function as real cuts (see `edgeprune.prune.equivalence`). Between measured
widths a curve is interpolated, and made monotone: fewer channels never do better.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch

from edgeprune.errors import UsageError
from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.batch_norm import use_batch_statistics
from edgeprune.prune.calibration import Batch, Calibration
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.importance.criterion import Scores, best
from edgeprune.prune.reconstruct import correction

__all__ = ["Curves", "halves", "loss_of", "measure"]

Curves: TypeAlias = Mapping[str, Mapping[int, float]]
"""Per group and width, the loss added by keeping only that many channels; 0 at full width."""

_FORWARD_PASSES = 60
"""About how many cuts are measured in all, spread over the groups."""


def measure(
    module: torch.nn.Module,
    coupling: Coupling,
    scores: Scores,
    widths: Mapping[str, tuple[int, ...]],
    calibration: Calibration,
    progress: Progress | None = None,
) -> Curves:
    """Every group's curve over its `widths`, each group cut alone to its highest-scoring channels.

    Raises:
        UsageError: the loss of the uncut network is not a finite number.
    """
    fitting, judging = halves(calibration.batches)
    judge = replace(calibration, batches=judging)
    whole = {anew: loss_of(module, judge, anew) for anew in (False, True)}
    if not all(map(math.isfinite, whole.values())):
        raise UsageError(
            f"the network's loss on its training data is {whole[False]}; check its weights and data"
        )
    probes = max(2, min(6, _FORWARD_PASSES // max(1, len(widths))))
    planned = {name: _spread(options[:-1], probes) for name, options in widths.items()}
    correcting = correction(module, coupling, replace(calibration, batches=fitting))
    curves: dict[str, dict[int, float]] = {}
    with (progress or SilentProgress()).task(
        "measuring sensitivity", sum(map(len, planned.values()))
    ) as task:
        for name, options in widths.items():
            measured = {options[-1]: 0.0}
            for width in planned[name]:
                plan = best(scores, {name: width})
                anew = not correcting.corrects(plan)
                measured[width] = loss_of(correcting.masked(plan), judge, anew) - whole[anew]
                task.advance(note=f"{name} to {width}")
            curves[name] = _monotone(options, measured)
    return curves


def halves(batches: tuple[Batch, ...]) -> tuple[tuple[Batch, ...], tuple[Batch, ...]]:
    """What corrections are fitted to and what judges them: a fit flatters itself on its own data."""
    return (batches[::2], batches[1::2]) if len(batches) > 1 else (batches, batches)


@torch.no_grad()
def loss_of(module: torch.nn.Module, calibration: Calibration, anew: bool) -> float:
    """The loss in evaluation mode, `anew` with each batch's own statistics in its batch norms."""
    subject = copy.deepcopy(module).eval()
    if anew:
        use_batch_statistics(subject)
    losses = [
        float(calibration.loss(subject(*inputs), target)) * len(inputs[0])
        for inputs, target in calibration.batches
    ]
    return sum(losses) / sum(len(inputs[0]) for inputs, _ in calibration.batches)


def _spread(options: Sequence[int], count: int) -> tuple[int, ...]:
    """At most `count` of `options`, evenly spaced, both ends among them."""
    if len(options) <= count:
        return tuple(options)
    positions = sorted({round(step * (len(options) - 1) / (count - 1)) for step in range(count)})
    return tuple(options[position] for position in positions)


def _monotone(options: Sequence[int], measured: Mapping[int, float]) -> dict[int, float]:
    known = sorted(measured)
    losses = [measured[width] for width in known]
    for position, _ in reversed(list(enumerate(pairwise(losses)))):
        losses[position] = max(losses[position], losses[position + 1])
    return {width: float(np.interp(width, known, losses)) for width in options}
