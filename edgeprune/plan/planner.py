"""`plan`: from a graph to a program that says what runs, in which order, and where its data lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeprune.device import Device
from edgeprune.errors import OverBudget, UsageError
from edgeprune.graph.ir import Graph, Node
from edgeprune.plan.assemble import program_of
from edgeprune.plan.check import check_program
from edgeprune.plan.choose import Option
from edgeprune.plan.fusion import fusible_pairs, memory_binds
from edgeprune.plan.lifetimes import Group, storage_names, work_nodes
from edgeprune.plan.measured import MeasuredCycles, with_measured
from edgeprune.plan.objective import Objective
from edgeprune.plan.pairs import Plan, planned, with_pairs
from edgeprune.plan.program import Program
from edgeprune.plan.regions import split_arena, whole_arena
from edgeprune.plan.rows import image_rows
from edgeprune.plan.schedule import Schedule, schedule
from edgeprune.plan.settle import Settled, merit
from edgeprune.plan.streaming import Cut, Reason, cuts

__all__ = ["leanest", "plan"]

_CUTS = 2
"""Ways to stream layers that are packed and compared, of those that promise most."""
_LEAST_TIME = 0.8
"""Of what a plan takes without constants in RAM, what one with them may take."""
_SEARCHES = (Reason.UNFIT, Reason.UNFIT)
"""Why layers are streamed each time ways are looked for: in the order without stages, then in that of the best plan."""


def plan(
    graph: Graph,
    device: Device,
    objective: Objective,
    measured: MeasuredCycles | None = None,
    *,
    stream_input: bool = False,
) -> Program:
    """The program that runs `graph` on `device` at the least of what `objective` asks for.

    Constants stay in flash, unless a copy in RAM saves cycles: within the RAM budget, or, where none is named or RAM
    is what is optimized, in what the arena takes anyway.

    A node and the only reader of its output become one step where a kernel runs both and the program gains by it.

    Where the device has several memories, the arena lies in the fastest; where it does not fit there, or a budget
    beyond it, spent on others that are no slower, gives a better plan by `objective`, it is split.

    A RAM budget is kept by the packed arena. A flash budget is kept by the candidates' estimates where some
    choice does; where none does, the choice with the smallest estimate is returned, because only the linked
    image can tell.

    Args:
        graph: The network.
        device: What it runs on.
        objective: What to spend least of, and the budgets.
        measured: Cycles of candidates that were measured; the others are taken by their estimates.
        stream_input: The caller hands over the rows of the input one by one.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant; or the input cannot be streamed.
        OverBudget: the arena cannot be as small as the RAM budget; the sentence names the step that binds.
    """

    def best(goal: Objective) -> _Found:
        if stream_input:
            found = _fed_plan(graph, device, goal, measured or {}, fed_input(graph))
        else:
            found = _best_plan(graph, device, goal, measured or {})
        return _Found(program_of(found.table, device, goal, found.settled), found.settled)

    program = _in_memories(best, device, objective)
    check_program(program)
    return program


@dataclass(frozen=True, eq=False)
class _Found:
    """A program, and what it was made of."""

    program: Program
    settled: Settled


def _in_memories(best: Callable[[Objective], _Found], device: Device, objective: Objective) -> Program:
    """The program whose arena lies in one memory or, where there is none or it is better so, in several.

    What reads and writes of slow memory cost is in no candidate's cycles: an arena that fits the fast one stays there.
    """
    shared = split_arena(device, objective)
    if shared is None:
        return best(objective).program
    try:
        whole = best(whole_arena(device, objective))
    except OverBudget:
        return best(shared).program
    if whole.program.fits_memories and not objective.copies_flash:
        return whole.program
    try:
        split = best(shared)
    except OverBudget:
        return whole.program
    if not whole.program.fits_memories:
        return split.program
    waits = {memory.name: memory.wait_states for memory in shared.rooms}
    if any(waits[name] > shared.rooms[0].wait_states for name, _ in split.program.parts):
        return whole.program
    return min(whole, split, key=lambda one: merit(one.settled, objective)).program


def leanest(graph: Graph, device: Device) -> tuple[Schedule, tuple[Option, ...]]:
    """The schedule with the smallest arena that was found, stages in it, and the choice of kernels for its steps."""
    found = _best_plan(graph, device, Objective("ram", ram_exchange=0), {})
    return found.table, found.settled.chosen


def _best_plan(graph: Graph, device: Device, objective: Objective, measured: MeasuredCycles) -> Plan:
    """The best plan of single nodes, pairs and stages that was found."""
    try:
        best = with_pairs(graph, device, objective, measured)
    except OverBudget as refusal:
        streamed = _with_stages(graph, device, objective, measured, None)
        if streamed is None:
            raise refusal
        return streamed
    if not memory_binds(best.bare, best.first, objective):
        return best
    return _with_stages(graph, device, objective, measured, best) or best


def _promises(cut: Cut, best: Plan, objective: Objective) -> bool:
    """Whether `cut` may be better than `best`, could constants in RAM speed it up as much as they ever do."""
    hoped = replace(cut, cycles=round(_LEAST_TIME * cut.cycles))
    return hoped.merit(objective) < merit(best.settled, objective)[1]


def fed_input(graph: Graph) -> str:
    """The name of the one input of `graph`, an image whose rows can be handed over, or of the view that layers read.

    Raises:
        UsageError: it has several inputs, or no image.
    """
    owner = storage_names(graph)
    read = {
        tensor.name: tensor
        for node in work_nodes(graph)
        for tensor in node.inputs
        if owner.get(tensor.name) == graph.inputs[0].name
    }
    if (
        len(graph.inputs) != 1
        or len(read) != 1
        or any(image_rows(tensor) < 2 or tensor.dtype not in ("int8", "uint8") for tensor in read.values())
    ):
        raise UsageError(
            f"the network {graph.name!r} has not one image as its only input, which could come row by row: "
            "leave out --stream-input"
        )
    return next(iter(read))


def _fed_plan(graph: Graph, device: Device, objective: Objective, measured: MeasuredCycles, fed: str) -> Plan:
    """The best plan that was found whose first layers take the rows of the input `fed` from the caller."""
    best = _with_stages(graph, device, objective, measured, None, fed)
    if best is not None:
        return best
    return planned(graph, device, objective, measured, (), fed)


def _with_stages(
    graph: Graph,
    device: Device,
    objective: Objective,
    measured: MeasuredCycles,
    apart: Plan | None,
    fed: str | None = None,
) -> Plan | None:
    """A better plan than `apart` by `objective` with some layers streamed row by row, or None."""
    pairs = fusible_pairs(graph, device)
    best = apart
    limit = objective.ram_bytes if apart is None else apart.settled.packing.arena_bytes
    if objective.ram_bytes is not None and limit is not None and objective.optimize != "ram":
        limit = objective.ram_bytes
    limit = device.ram_bytes if limit is None else limit
    assert limit is not None
    order: tuple[Node, ...] | None = None
    looked: set[tuple[Reason, tuple[Node, ...] | None]] = set()
    tried: set[tuple[Group, ...]] = set()
    for reason in (*_SEARCHES, *([Reason.SLOWED] if objective.optimize == "latency" else [])):
        if (reason, order) in looked:
            continue
        looked.add((reason, order))
        for fused in dict.fromkeys(((), pairs)):
            table = with_measured(schedule(graph, device, objective, fused, order, fed), measured)
            found = sorted(cuts(table, device, limit, reason), key=lambda cut: cut.merit(objective))
            for cut in found[:_CUTS]:
                streamed = {node for stage in cut.stages for node in stage}
                kept = [pair for pair in fused if not streamed.intersection(pair)]
                if (*kept, *cut.stages) in tried or (
                    best is not None and not _promises(cut, best, objective)
                ):
                    continue
                tried.add((*kept, *cut.stages))
                try:
                    plan = planned(graph, device, objective, measured, (*kept, *cut.stages), fed)
                except OverBudget:
                    continue
                if best is None or merit(plan.settled, objective) < merit(best.settled, objective):
                    best = plan
        if best is not None and best is not apart:
            order = tuple(node for nodes in best.table.steps for node in nodes)
    return None if best is apart else best
