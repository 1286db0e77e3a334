"""The plan of a network's nodes as steps, or of some pairs of them, whichever spends least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.graph.ir import Graph
from edgeprune.plan.fusion import binding, fusible_pairs, least_needy, memory_binds, saving
from edgeprune.plan.grouping import standing_groups
from edgeprune.plan.lifetimes import Group
from edgeprune.plan.measured import MeasuredCycles, with_measured
from edgeprune.plan.objective import Objective
from edgeprune.plan.schedule import Schedule, schedule, with_placements
from edgeprune.plan.settle import Settled, merit, settle, settle_placements

__all__ = ["Plan", "planned", "with_pairs"]

_MORE_PAIRS = 2
"""That are tried one by one after those that hold the arena up."""
_FEWER_PAIRS = 3
"""That are tried apart, one by one, where nothing fits without any pair."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A schedule, with placements, and what was chosen; `bare` and `first` are both before there were placements."""

    bare: Schedule
    first: Settled
    table: Schedule
    settled: Settled


def with_pairs(graph: Graph, device: Device, objective: Objective, measured: MeasuredCycles) -> Plan:
    """The plan of single nodes, or a better one of a few with pairs of nodes fused."""

    def cost(one: Plan) -> tuple[float, ...]:
        return merit(one.settled, objective)

    pairs, standing = fusible_pairs(graph, device), standing_groups(graph)
    try:
        best = planned(graph, device, objective, measured, standing)
    except OverBudget as refusal:
        if not pairs:
            raise
        try:
            return _with_fewer_pairs(graph, device, objective, measured, pairs)
        except OverBudget:
            raise refusal from None
    worthwhile, urgent = _worth_fusing(graph, device, objective, measured, pairs, best)
    fused = standing
    for more in [urgent, *((pair,) for pair in worthwhile if pair not in urgent)][: 1 + _MORE_PAIRS]:
        if more:
            try:
                found = planned(graph, device, objective, measured, (*fused, *more))
            except OverBudget:
                continue
            if cost(found) < cost(best):
                best, fused = found, (*fused, *more)
    return best


def _with_fewer_pairs(
    graph: Graph, device: Device, objective: Objective, measured: MeasuredCycles, pairs: Sequence[Group]
) -> Plan:
    """The plan of all `pairs`, or a better one without some of those whose steps need the least memory."""
    standing, fused = standing_groups(graph), list(pairs)
    best = planned(graph, device, objective, measured, (*standing, *fused))
    for pair in least_needy(pairs, best.table, best.settled)[:_FEWER_PAIRS]:
        rest = [other for other in fused if other is not pair]
        try:
            found = planned(graph, device, objective, measured, (*standing, *rest))
        except OverBudget:
            continue
        if merit(found.settled, objective) < merit(best.settled, objective):
            best, fused = found, rest
    return best


def planned(
    graph: Graph,
    device: Device,
    objective: Objective,
    measured: MeasuredCycles,
    fused: Sequence[Group],
    fed: str | None = None,
) -> Plan:
    """The plan with a step for each of the groups `fused`."""
    estimated = schedule(graph, device, objective, fused, fed=fed)
    bare = with_measured(estimated, measured)
    first = settle(bare, objective)
    placed = with_measured(with_placements(estimated, device, objective), measured)
    return Plan(bare, first, placed, settle_placements(placed, objective, first))


def _worth_fusing(
    graph: Graph,
    device: Device,
    objective: Objective,
    measured: MeasuredCycles,
    pairs: Sequence[Group],
    apart: Plan,
) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """The `pairs` that may improve on the plan `apart` of single nodes, and those among them to try at once."""
    if not pairs:
        return (), ()
    needy = memory_binds(apart.bare, apart.first, objective) or (
        objective.copies_flash and memory_binds(apart.table, apart.settled, objective)
    )
    groups = (*standing_groups(graph), *pairs)
    together = with_measured(schedule(graph, device, objective, groups), measured)
    worthwhile = saving(together, apart.table, apart.settled, objective, memory=needy)
    return worthwhile, binding(worthwhile, apart.table, apart.settled)
