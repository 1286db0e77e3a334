"""Pruning in rounds: a little at a time, everything measured anew on what is left, and a short training after each.

What a width costs in loss is known best near the network that it was measured on. So limits are approached
geometrically: each round takes the same share of what is used, of every limited resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch

from edgeprune.costs import CostTable
from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.analyse import analyse
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.compose import compose
from edgeprune.prune.corrected import cut_corrected
from edgeprune.prune.coupling import Coupling, Group, PruningPlan
from edgeprune.prune.importance import Criterion, best
from edgeprune.prune.joint import CUTS, choose_jointly
from edgeprune.prune.limits import Limits, resources
from edgeprune.prune.worth import channel_worth

__all__ = ["State", "Tune", "between", "in_rounds", "may_take_rounds", "one_round", "start", "used"]


@dataclass(frozen=True, eq=False)
class State:
    """A network on its way: what is left of it, its groups under their first names, and their widths.

    `plan` is all that was cut so far, in the numbers of the original network's channels.
    """

    module: torch.nn.Module
    coupling: Coupling
    widths: Mapping[str, int]
    plan: PruningPlan = field(default_factory=PruningPlan)


Tune: TypeAlias = Callable[[State, int], torch.nn.Module]
"""Trains the network that a round left, given the round's number from 1; returns it in evaluation mode."""


def start(module: torch.nn.Module, coupling: Coupling, table: CostTable) -> State:
    """The whole network, before the first round."""
    return State(module, coupling, {name: options[-1] for name, options in table.widths.items()})


def in_rounds(
    state: State,
    table: CostTable,
    limits: Limits,
    rounds: int,
    calibration: Calibration,
    criterion: Criterion,
    tune: Tune,
    progress: Progress | None = None,
    cuts: int = CUTS,
) -> State:
    """The network cut until it holds `limits` by the table, in so many rounds, each trained by `tune`.

    One round must do where `may_take_rounds` says no.

    Raises:
        NothingFits: no widths of the table hold the limits.
    """
    count = rounds if may_take_rounds(state.coupling) else 1
    for number in range(1, count + 1):
        left = count - number + 1
        step = between(used(table, state.widths), limits, 1 / left)
        state = one_round(state, table, step, calibration, criterion, progress, cuts)
        state = replace(state, module=tune(state, number))
    return state


def one_round(
    state: State,
    table: CostTable,
    limits: Limits,
    calibration: Calibration,
    criterion: Criterion,
    progress: Progress | None = None,
    cuts: int = CUTS,
) -> State:
    """The network cut once, to the widths of least measured loss within `limits`, and corrected; not trained.

    Args:
        state: What is left so far.
        table: What the whole network's widths cost.
        limits: On the figures of the table.
        calibration: Judges channels and widths, and corrects weights.
        criterion: Ranks channels.
        progress: Told of every step.
        cuts: About how many cuts are judged before one is chosen; see `choose_jointly`.

    Raises:
        NothingFits: no widths hold the limits.
    """
    progress = progress or SilentProgress()
    left = table.restricted(state.widths)
    scores, curves = channel_worth(
        state.module, state.coupling, left.widths, criterion, calibration, progress
    )
    choice = choose_jointly(
        state.module, state.coupling, scores, curves, left, limits, calibration, cuts, progress
    )
    kept = {name: width for name, width in choice.widths.items() if width < state.widths[name]}
    if not kept:
        return state
    plan = best(scores, kept)
    module = cut_corrected(state.module, state.coupling, plan, calibration, progress)
    coupling = _followed(module, state.coupling, choice.widths)
    return State(module, coupling, choice.widths, compose(state.plan, plan))


def used(table: CostTable, widths: Mapping[str, int]) -> Limits:
    """What the network uses at `widths`, as limits."""
    used = resources(table, widths)
    return Limits(**{name: getattr(used, name) for name in Limits.__dataclass_fields__})


def between(used: Limits, limits: Limits, share: float) -> Limits:
    """Limits that lie between what is used and `limits`, geometrically: 0 is what is used, 1 is `limits`."""
    steps = {}
    for name, limit in limits.given().items():
        now = used.given()[name]
        steps[name] = limit if share >= 1 or now <= limit else int(now * (limit / now) ** share)
    return Limits(**steps)


def may_take_rounds(coupling: Coupling) -> bool:
    """Whether what is left after a cut can be cut again by the same table.

    Not a network that comes as its exported graph, whose parts lose their names; nor one with attention's grids,
    whose widths stand for boxes of the first network.
    """
    return coupling.form == "module" and all(group.heads == 1 for group in coupling.groups)


def _followed(module: torch.nn.Module, before: Coupling, widths: Mapping[str, int]) -> Coupling:
    """The groups of the pruned network that are those of the one before, found anew: its trace has other sizes."""
    found = analyse(module, before.example_inputs)
    places = {group.name: _places(group) for group in before.groups}
    groups = tuple(
        group
        for group in found.groups
        if places.get(group.name) == _places(group) and group.size == widths.get(group.name, group.size)
    )
    return replace(found, groups=groups)


def _places(group: Group) -> frozenset[tuple[str, int, str]]:
    """Where a group lives, whatever its channels' numbers are."""
    return frozenset((piece.parameter, piece.dim, piece.role) for piece in group.slices)
