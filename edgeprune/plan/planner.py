"""`plan`: from a graph to a program that says what runs, in which order, and where its data lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.graph.ir import DTYPES, Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.candidates import admitted_candidates
from edgeprune.plan.check import check_program
from edgeprune.plan.choose import Option, choose, runner_up, sensible
from edgeprune.plan.lifetimes import Storage, storage_names, storages, work_nodes
from edgeprune.plan.objective import Objective
from edgeprune.plan.order import choose_order
from edgeprune.plan.overlap import input_distances, step_need_bytes
from edgeprune.plan.pack import Packing, pack
from edgeprune.plan.program import Buffer, Program, Step

__all__ = ["Schedule", "plan", "schedule"]

_ALIGN = 8
_WORD = 4
_TIGHTENINGS = 12


@dataclass(frozen=True, eq=False)
class Schedule:
    """A graph in execution order, with its storages and, per step, every candidate worth considering."""

    graph: Graph
    owner: Mapping[str, str]
    steps: tuple[tuple[Node, ...], ...]
    storages: tuple[Storage, ...]
    options: tuple[tuple[Option, ...], ...]

    def alive(self, step: int) -> tuple[Storage, ...]:
        """Storages of activations in use at `step`."""
        return tuple(storage for storage in self.storages if storage.first <= step <= storage.last)


def plan(graph: Graph, device: Device, objective: Objective) -> Program:
    """The program that runs `graph` on `device` at the least of what `objective` asks for.

    A RAM budget is kept by the packed arena. A flash budget is kept by the candidates' estimates where some
    choice does; where none does, the choice with the smallest estimate is returned, because only the linked
    image can tell.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
        OverBudget: the arena cannot be as small as the RAM budget; the sentence names the step that binds.
    """
    table = schedule(graph, device, objective)
    chosen, packing = _choose_and_pack(table, objective)
    program = _program(table, device, objective, chosen, packing)
    check_program(program)
    return program


def schedule(graph: Graph, device: Device, objective: Objective) -> Schedule:
    """Order, lifetimes and candidates of `graph`, before anything is chosen.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
    """
    offered = {node: _offered(node, device, objective) for node in work_nodes(graph)}
    likely = {node: _likely(candidates, objective) for node, candidates in offered.items()}
    steps = tuple((node,) for node in choose_order(graph, likely))
    owner = storage_names(graph)
    table = Schedule(graph, owner, steps, storages(graph, steps), ())
    options = tuple(
        tuple(
            Option(candidate, step_need_bytes(table.alive(index), index, candidate, owner))
            for candidate in offered[nodes[0]]
        )
        for index, nodes in enumerate(steps)
    )
    return Schedule(graph, owner, steps, table.storages, options)


def _offered(node: Node, device: Device, objective: Objective) -> tuple[Candidate, ...]:
    candidates = admitted_candidates((node,), device)
    frugal = tuple(candidate for candidate in candidates if not candidate.persistent_bytes)
    return candidates if objective.ram_bytes is not None or not frugal else frugal


def _likely(candidates: Sequence[Candidate], objective: Objective) -> Candidate:
    """The candidate that would be chosen if memory did not matter, for the search of an order."""
    metrics = {"latency": "cycles", "ram": "scratch_bytes", "flash": "flash_bytes"}
    return min(candidates, key=lambda c: tuple(getattr(c, metrics[goal]) for goal in objective.priorities))


def _choose_and_pack(table: Schedule, objective: Objective) -> tuple[tuple[Option, ...], Packing]:
    """Choose, pack, and while the packing misses the RAM budget, tighten its worst step and choose again."""
    worthwhile = tuple(sensible(step) for step in table.options)
    limits: list[int | None] = [objective.ram_bytes] * len(worthwhile)
    for _ in range(_TIGHTENINGS):
        chosen = _chosen(worthwhile, objective, limits)
        if chosen is None:
            break
        packing = _pack(table, chosen)
        if objective.ram_bytes is None or packing.arena_bytes <= objective.ram_bytes:
            return chosen, packing
        worst = _worst(worthwhile, chosen)
        if worst is None:
            break
        limits[worst] = chosen[worst].need_bytes + chosen[worst].candidate.persistent_bytes - 1
    least = _chosen(worthwhile, Objective("ram", objective.flash_bytes), [None] * len(worthwhile))
    assert least is not None
    packing = _pack(table, least)
    if objective.ram_bytes is not None and packing.arena_bytes > objective.ram_bytes:
        raise OverBudget(_binding(table, least, packing, objective.ram_bytes))
    return least, packing


def _chosen(
    options: Sequence[Sequence[Option]], objective: Objective, limits: Sequence[int | None]
) -> tuple[Option, ...] | None:
    """What `choose` finds; within the RAM limits alone, and then smallest in flash, where flash is too small."""
    chosen = choose(options, objective, limits)
    if chosen is None and objective.flash_bytes is not None:
        return choose(options, Objective("flash", None, objective.ram_bytes), limits)
    return chosen


def _worst(options: Sequence[Sequence[Option]], chosen: Sequence[Option]) -> int | None:
    """The step that needs the most and could run in less; None when no step could."""
    able = [
        index
        for index, (step, option) in enumerate(zip(options, chosen, strict=True))
        if min(other.need_bytes for other in step) < option.need_bytes
    ]
    return max(able, key=lambda index: chosen[index].need_bytes, default=None)


def _pack(table: Schedule, chosen: Sequence[Option]) -> Packing:
    """Offsets for activations and the steps' own buffers; on words where that saves memory over doublewords."""
    everything = [*table.storages, *own_storages(table.steps, [option.candidate for option in chosen])]
    by_name = {storage.name: storage for storage in everything}
    distances = {
        (upper, lower): distance
        for step, option in enumerate(chosen)
        for lower in [table.owner[option.candidate.nodes[-1].output.name]]
        for upper, distance in input_distances(option.candidate, table.owner).items()
        if by_name[upper].dies_at(step)
    }
    persistent = sum(option.candidate.persistent_bytes for option in chosen)
    bound = persistent + max((option.need_bytes for option in chosen), default=0)
    bound = max(bound, sum(storage.size_bytes for storage in table.alive(0)) if not chosen else 0)
    wide = _wide_tensors(table.graph)
    packing = pack(everything, distances, lambda storage: _ALIGN, bound)
    if packing.arena_bytes > bound:
        narrow = pack(
            everything,
            distances,
            lambda storage: _WORD if storage.tensors and storage.name not in wide else _ALIGN,
            bound,
        )
        packing = min(packing, narrow, key=lambda one: one.arena_bytes)
    return packing


def own_storages(steps: Sequence[tuple[Node, ...]], candidates: Sequence[Candidate]) -> list[Storage]:
    """Scratch and persistent parts of the steps, as storages without tensors."""
    last = len(steps) - 1
    found = []
    for index, candidate in enumerate(candidates):
        if candidate.scratch_bytes:
            found.append(Storage(_scratch_name(index), (), candidate.scratch_bytes, index, index))
        if candidate.persistent_bytes:
            found.append(Storage(_persistent_name(index), (), candidate.persistent_bytes, 0, last))
    return found


def _scratch_name(step: int) -> str:
    return f"\0scratch {step}"


def _persistent_name(step: int) -> str:
    return f"\0persistent {step}"


def _wide_tensors(graph: Graph) -> set[str]:
    return {tensor.name for tensor in graph.tensors() if DTYPES[tensor.dtype].itemsize > _WORD}


def _program(
    table: Schedule, device: Device, objective: Objective, chosen: Sequence[Option], packing: Packing
) -> Program:
    region = max((m for m in device.memories if m.kind == "ram"), key=lambda memory: memory.size_bytes).name
    candidates = [option.candidate for option in chosen]

    def buffer(storage: Storage, name: str) -> Buffer:
        offset = packing.offsets[storage.name]
        return Buffer(name, storage.tensors, region, offset, storage.size_bytes, storage.first, storage.last)

    titles = {_scratch_name(i): f"{nodes[-1].name} scratch" for i, nodes in enumerate(table.steps)}
    titles |= {_persistent_name(i): f"{nodes[-1].name} persistent" for i, nodes in enumerate(table.steps)}
    own = {s.name: buffer(s, titles[s.name]) for s in own_storages(table.steps, candidates)}
    steps = tuple(
        Step(
            nodes[-1].name,
            nodes,
            option.candidate,
            own.get(_scratch_name(index)),
            own.get(_persistent_name(index)),
            runner_up(table.options[index], option, objective),
        )
        for index, (nodes, option) in enumerate(zip(table.steps, chosen, strict=True))
    )
    buffers = (*(buffer(storage, storage.name) for storage in table.storages), *own.values())
    return Program(
        graph=table.graph,
        device=device,
        steps=steps,
        buffers=buffers,
        arena_bytes=packing.arena_bytes,
        arena_align=_ALIGN,
        persistent_bytes=sum(candidate.persistent_bytes for candidate in candidates),
        lower_bound_bytes=lower_bound_bytes(buffers),
        views={name: holder for name, holder in table.owner.items() if name != holder},
    )


def lower_bound_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest sum of bytes alive at one step."""
    moments = {buffer.first_step for buffer in buffers}
    return max(
        (sum(b.size_bytes for b in buffers if b.first_step <= m <= b.last_step) for m in moments), default=0
    )


def _binding(table: Schedule, chosen: Sequence[Option], packing: Packing, budget: int) -> str:
    step = max(range(len(chosen)), key=lambda index: chosen[index].need_bytes)
    alive = [f"{storage.name!r} {storage.size_bytes:,} B" for storage in table.alive(step)]
    if chosen[step].candidate.scratch_bytes:
        alive.append(f"scratch {chosen[step].candidate.scratch_bytes:,} B")
    phrase = " and ".join([", ".join(alive[:-1]), alive[-1]] if len(alive) > 1 else alive)
    return (
        f"the arena takes {packing.arena_bytes:,} B and may take {budget:,} B: at step "
        f"{table.steps[step][-1].name!r} {phrase} are alive together; allow more RAM or prune that layer"
    )
