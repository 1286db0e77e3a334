"""A graph in execution order with every candidate its steps may run: what choosing and packing start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.device import Device
from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.candidates import admitted_candidates
from edgeprune.plan.choose import Option
from edgeprune.plan.lifetimes import Storage, storage_names, storages, work_nodes
from edgeprune.plan.objective import Objective
from edgeprune.plan.order import choose_order
from edgeprune.plan.overlap import step_need_bytes
from edgeprune.plan.placement import placed_candidates

__all__ = ["Schedule", "schedule", "with_placements"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A graph in execution order.

    `owner` names the storage of each activation, `storages` lists them with their lifetimes, and `options`
    holds, per step, every candidate that may run it.
    """

    graph: Graph
    owner: Mapping[str, str]
    steps: tuple[tuple[Node, ...], ...]
    storages: tuple[Storage, ...]
    options: tuple[tuple[Option, ...], ...]

    def alive(self, step: int) -> tuple[Storage, ...]:
        """Storages of activations in use at `step`."""
        return tuple(storage for storage in self.storages if storage.first <= step <= storage.last)


def schedule(graph: Graph, device: Device, objective: Objective) -> Schedule:
    """Order, lifetimes and candidates of `graph`, before anything is chosen.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
    """
    offered = {node: _offered(node, device, objective) for node in work_nodes(graph)}
    likely = {node: _likely(candidates, objective) for node, candidates in offered.items()}
    steps = tuple((node,) for node in choose_order(graph, likely))
    owner = storage_names(graph)
    bare = Schedule(graph, owner, steps, storages(graph, steps), ())
    options = tuple(_options(bare, index, offered[nodes[0]]) for index, nodes in enumerate(steps))
    return replace(bare, options=options)


def with_placements(table: Schedule, device: Device, objective: Objective) -> Schedule:
    """`table` with the candidates, too, whose constants are copied to RAM."""
    options = tuple(
        _options(table, index, placed_candidates([option.candidate for option in step], device, objective))
        for index, step in enumerate(table.options)
    )
    return replace(table, options=options)


def _options(table: Schedule, index: int, candidates: Sequence[Candidate]) -> tuple[Option, ...]:
    alive = table.alive(index)
    return tuple(
        Option(candidate, step_need_bytes(alive, index, candidate, table.owner)) for candidate in candidates
    )


def _offered(node: Node, device: Device, objective: Objective) -> tuple[Candidate, ...]:
    """The candidates of `node`, without those that spend memory nobody named a budget for.

    Copies of flash in RAM want a RAM budget, weights packed into several times their bytes a flash budget.
    """
    candidates = admitted_candidates((node,), device)
    frugal = tuple(
        candidate
        for candidate in candidates
        if (objective.copies_flash or not candidate.persistent_bytes)
        and (objective.expands_weights or not candidate.expands_weights)
    )
    return frugal or candidates


def _likely(candidates: Sequence[Candidate], objective: Objective) -> Candidate:
    """The candidate that would be chosen if memory did not matter, for the search of an order."""
    metrics = {"latency": "cycles", "ram": "scratch_bytes", "flash": "flash_bytes"}
    return min(candidates, key=lambda c: tuple(getattr(c, metrics[goal]) for goal in objective.priorities))
