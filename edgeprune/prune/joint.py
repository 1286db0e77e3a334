"""Widths chosen by what cuts cost together, where curves know only what each costs alone.

Were losses to add up, the least sum of the curves would be the least loss. They do so roughly: errors of several cuts
go the same way or make up for each other. So the widths that the curves give are a start. From there every group is
widened and narrowed by a step with all others cut as they are, which gives new curves that hold in this
neighbourhood, and the programme chooses among its widths. What it chooses is cut and judged, and becomes the next
start where it is better; else the step is halved (a trust region, as in sequential programming).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from edgeprune.costs import CostTable
from edgeprune.patterns import LayerPattern, PatternMenus, patterns_at
from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.choose import Choice, choice_at, choose
from edgeprune.prune.coupling import Coupling
from edgeprune.prune.equivalence import is_maskable, mask
from edgeprune.prune.importance import Scores, best
from edgeprune.prune.limits import Limits
from edgeprune.prune.reconstruct import reconstruct
from edgeprune.prune.sensitivity import Curves, halves, loss_of
from edgeprune.prune.surgery import prune
from edgeprune.prune.thinning import thin

__all__ = ["CUTS", "choose_jointly", "joint_loss"]

CUTS = 28
"""About how many cuts are judged."""
_FIRST_STEP = 1 / 8
"""Of a group's widths."""
_BEYOND = 1e6
"""The loss of widths outside the neighbourhood."""

_Judge = Callable[[Mapping[str, int]], float]


def choose_jointly(
    module: torch.nn.Module,
    coupling: Coupling,
    scores: Scores,
    curves: Curves,
    table: CostTable,
    limits: Limits,
    calibration: Calibration,
    cuts: int = CUTS,
    progress: Progress | None = None,
    menus: PatternMenus = MappingProxyType({}),
) -> Choice:
    """The widths of least measured loss found within `limits`.

    Patterns of weights are chosen by their own curves; what is judged has them.

    Args:
        module: The network; it is not changed.
        coupling: Its groups.
        scores: Which channels stay at a width.
        curves: What each group's widths cost alone.
        table: What widths cost.
        limits: What the network may use, on the table's figures.
        calibration: One half of it corrects weights, the other judges.
        cuts: About how many cuts are judged. Fewer than two a group leave the widths as the curves give them.
        progress: Told of every cut that is judged.
        menus: The table's options.

    Raises:
        NothingFits: no widths hold the limits.
    """
    start = choose(curves, table, limits)
    names = tuple(name for name in curves if len(table.widths[name]) > 1 and name not in menus)
    if cuts < 2 * len(names) + 2 or start.predicted_loss <= 0.0:
        return start
    known: dict[tuple[int, ...], float] = {}
    with (progress or SilentProgress()).task("measuring cuts together", cuts) as task:

        def judged(widths: Mapping[str, int]) -> float:
            key = tuple(widths[name] for name in (*names, *menus))
            if key not in known:
                kept = {name: widths[name] for name in names}
                patterns = patterns_at(menus, widths)
                known[key] = joint_loss(module, coupling, scores, kept, calibration, patterns)
                task.advance(note=f"loss {min(known.values()):.3f}")
            return known[key]

        widths, step = start.widths, _FIRST_STEP
        while len(known) + 2 * len(names) + 1 <= cuts:
            local = {name: _local(name, widths, table.widths[name], step, judged) for name in names}
            proposal = choose({**curves, **local}, table, limits).widths
            if judged(proposal) < judged(widths):
                widths = proposal
            elif all(_stride(table.widths[name], step) == 1 for name in names):
                break
            else:
                step /= 2
    return choice_at(curves, table, widths)


def joint_loss(
    module: torch.nn.Module,
    coupling: Coupling,
    scores: Scores,
    widths: Mapping[str, int],
    calibration: Calibration,
    patterns: Mapping[str, LayerPattern] = MappingProxyType({}),
) -> float:
    """The loss of the network cut to `widths` and corrected on one half of the data, on the other half.

    With `patterns`, by layer, their weights go after the channels.
    """
    fitting, judging = (replace(calibration, batches=half) for half in halves(calibration.batches))
    plan = best(scores, widths)
    corrected = reconstruct(module, coupling, plan, fitting)
    anew = not is_maskable(coupling, plan)
    if patterns:
        return loss_of(thin(prune(corrected, coupling, plan), patterns, fitting), judging, anew)
    return loss_of(mask(corrected, coupling, plan), judging, anew)


def _local(
    name: str, widths: Mapping[str, int], options: Sequence[int], step: float, judged: _Judge
) -> Mapping[int, float]:
    """A group's curve around its width, all others as they are: measured at both ends, straight in between."""
    at, stride = options.index(widths[name]), _stride(options, step)
    ends = sorted({max(0, at - stride), at, min(len(options) - 1, at + stride)})
    losses = [judged({**widths, name: options[end]}) for end in ends]
    # Wider is never worse: what is measured otherwise is chance.
    falling = np.maximum.accumulate(losses[::-1])[::-1]
    within = np.interp(range(ends[0], ends[-1] + 1), ends, falling - falling[-1])
    curve = dict.fromkeys(options, _BEYOND)
    return {**curve, **dict(zip(options[ends[0] : ends[-1] + 1], within.tolist(), strict=True))}


def _stride(options: Sequence[int], step: float) -> int:
    return max(1, round(len(options) * step))
