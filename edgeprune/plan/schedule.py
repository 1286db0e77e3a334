"""A graph in execution order with every candidate its steps may run: what choosing and packing start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.device import Device, Memory
from edgeprune.errors import UsageError
from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.candidates import admitted_candidates, offered_candidates
from edgeprune.plan.choose import Option
from edgeprune.plan.lifetimes import Group, Storage, storage_names, storages, work_nodes
from edgeprune.plan.objective import Objective
from edgeprune.plan.order import choose_group_order
from edgeprune.plan.overlap import step_need_bytes
from edgeprune.plan.placement import placed_candidates
from edgeprune.plan.stage import stage_candidates

__all__ = ["Schedule", "schedule", "with_placements"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A graph in execution order.

    `owner` names the storage of each activation, `storages` lists them with their lifetimes, and `options`
    holds, per step, every candidate that may run it.
    """

    graph: Graph
    owner: Mapping[str, str]
    steps: tuple[Group, ...]
    storages: tuple[Storage, ...]
    options: tuple[tuple[Option, ...], ...]
    fed: str | None = None
    """The tensor whose rows the caller hands over: the graph's input, or the view of it that layers read."""
    rooms: tuple[Memory, ...] = ()
    """The memories that share the arena, fastest first; none where it is to be whole."""

    def alive(self, step: int) -> tuple[Storage, ...]:
        """Storages of activations in use at `step`."""
        return tuple(storage for storage in self.storages if storage.first <= step <= storage.last)


def schedule(
    graph: Graph,
    device: Device,
    objective: Objective,
    fused: Sequence[Group] = (),
    order: Sequence[Node] | None = None,
    fed: str | None = None,
) -> Schedule:
    """Order, lifetimes and candidates of `graph`, before anything is chosen.

    The groups `fused` run as a step each, in place of their last node; what the others compute is read within the
    group alone. Other nodes run by themselves. They run in the `order` of their last nodes, by default in that which
    needs the least memory. The rows of the input, as `fed`, come from the caller: a step that reads it is a stage.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
    """
    offered = {nodes: _offered(nodes, device, objective, fed) for nodes in _groups(graph, fused)}
    likely = {nodes: _likely(candidates, objective) for nodes, candidates in offered.items()}
    if order is None:
        steps = choose_group_order(graph, likely)
    else:
        places = {node: place for place, node in enumerate(order)}
        steps = tuple(sorted(likely, key=lambda nodes: places[nodes[-1]]))
    owner = storage_names(graph)
    held = tuple(storage for storage in storages(graph, steps) if fed is None or storage.name != owner[fed])
    bare = Schedule(graph, owner, steps, held, (), fed, objective.rooms)
    options = tuple(_options(bare, index, offered[nodes]) for index, nodes in enumerate(steps))
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


def _groups(graph: Graph, fused: Sequence[Group]) -> tuple[Group, ...]:
    """The nodes of each step, in the graph's order."""
    ends = {nodes[-1]: nodes for nodes in fused}
    inner = {node for nodes in fused for node in nodes[:-1]}
    return tuple(ends.get(node, (node,)) for node in work_nodes(graph) if node not in inner)


def _offered(nodes: Group, device: Device, objective: Objective, fed: str | None) -> tuple[Candidate, ...]:
    """The candidates of `nodes`, without those that spend memory nobody named a budget for.

    Copies of flash in RAM want a RAM budget, weights packed into several times their bytes a flash budget.
    """
    candidates = _able(nodes, device, fed)
    frugal = tuple(
        candidate
        for candidate in candidates
        if (objective.copies_flash or not candidate.persistent_bytes)
        and (objective.expands_weights or not candidate.expands_weights)
    )
    return frugal or candidates


def _able(nodes: Group, device: Device, fed: str | None) -> tuple[Candidate, ...]:
    """Every candidate for `nodes`; several that no kernel runs at once are a stage, and all that read `fed`.

    Raises:
        UsageError: no kernel runs a node, or runs it by rows where those of its input come from the caller.
    """
    if any(tensor.name == fed for node in nodes for tensor in node.inputs):
        found = stage_candidates(nodes, device, fed)
        if not found:
            raise UsageError(
                f"{nodes[0].op} node {nodes[0].name!r} reads the network's input and cannot run row by row: "
                "leave out --stream-input"
            )
        return found
    if len(nodes) == 1:
        return admitted_candidates(nodes, device)
    return offered_candidates(nodes, device) or stage_candidates(nodes, device)


def _likely(candidates: Sequence[Candidate], objective: Objective) -> Candidate:
    """The candidate that would be chosen if memory did not matter, for the search of an order."""
    metrics = {"latency": "cycles", "ram": "scratch_bytes", "flash": "flash_bytes"}
    return min(candidates, key=lambda c: tuple(getattr(c, metrics[goal]) for goal in objective.priorities))
