"""`plan`: from a graph to a program that says what runs, in which order, and where its data lies."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.device import Device
from edgeprune.graph.ir import Graph
from edgeprune.plan.check import check_program
from edgeprune.plan.choose import Option, runner_up
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.measured import MeasuredCycles, with_measured
from edgeprune.plan.objective import Objective
from edgeprune.plan.program import Buffer, Program, Step
from edgeprune.plan.schedule import Schedule, schedule, with_placements
from edgeprune.plan.settle import (
    ALIGN,
    Settled,
    own_storages,
    persistent_name,
    scratch_name,
    settle,
    settle_placements,
)

__all__ = ["plan", "program_of"]


def plan(
    graph: Graph, device: Device, objective: Objective, measured: MeasuredCycles | None = None
) -> Program:
    """The program that runs `graph` on `device` at the least of what `objective` asks for.

    Constants stay in flash, unless a copy in RAM saves cycles: within the RAM budget, or, where none is named or RAM
    is what is optimized, in what the arena takes anyway.

    A RAM budget is kept by the packed arena. A flash budget is kept by the candidates' estimates where some
    choice does; where none does, the choice with the smallest estimate is returned, because only the linked
    image can tell.

    Args:
        graph: The network.
        device: What it runs on.
        objective: What to spend least of, and the budgets.
        measured: Cycles of candidates that were measured; the others are taken by their estimates.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
        OverBudget: the arena cannot be as small as the RAM budget; the sentence names the step that binds.
    """
    estimated = schedule(graph, device, objective)
    settled = settle(with_measured(estimated, measured or {}), objective)
    placed = with_measured(with_placements(estimated, device, objective), measured or {})
    program = program_of(placed, device, objective, settle_placements(placed, objective, settled))
    check_program(program)
    return program


def program_of(table: Schedule, device: Device, objective: Objective, settled: Settled) -> Program:
    """The program of `settled`, whose options are among those of `table`."""
    chosen, packing = settled.chosen, settled.packing
    region = max((m for m in device.memories if m.kind == "ram"), key=lambda memory: memory.size_bytes).name
    candidates = [option.candidate for option in chosen]

    def buffer(storage: Storage, name: str) -> Buffer:
        offset = packing.offsets[storage.name]
        return Buffer(name, storage.tensors, region, offset, storage.size_bytes, storage.first, storage.last)

    def fits(option: Option) -> bool:
        return option.need_bytes + option.candidate.persistent_bytes <= room

    room = max(packing.arena_bytes, objective.ram_bytes or 0 if objective.copies_flash else 0)
    titles = {scratch_name(i): f"{nodes[-1].name} scratch" for i, nodes in enumerate(table.steps)}
    titles |= {persistent_name(i): f"{nodes[-1].name} persistent" for i, nodes in enumerate(table.steps)}
    own = {s.name: buffer(s, titles[s.name]) for s in own_storages(table.steps, candidates)}
    steps = tuple(
        Step(
            nodes[-1].name,
            nodes,
            option.candidate,
            own.get(scratch_name(index)),
            own.get(persistent_name(index)),
            runner_up([o for o in table.options[index] if fits(o)], option, objective),
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
        arena_align=ALIGN,
        persistent_bytes=sum(candidate.persistent_bytes for candidate in candidates),
        lower_bound_bytes=_lower_bound_bytes(buffers),
        views={name: holder for name, holder in table.owner.items() if name != holder},
    )


def _lower_bound_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest sum of bytes alive at one step."""
    moments = {buffer.first_step for buffer in buffers}
    return max(
        (sum(b.size_bytes for b in buffers if b.first_step <= m <= b.last_step) for m in moments), default=0
    )
