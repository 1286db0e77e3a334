"""From a schedule and what was settled for it to the program: steps with their kernels, buffers with their names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edgeprune.device import Device, Memory
from edgeprune.ops import operator_for
from edgeprune.plan.choose import Option, runner_up
from edgeprune.plan.lifetimes import Group, Storage
from edgeprune.plan.objective import Objective
from edgeprune.plan.place import ALIGN, own_storages, persistent_name, scratch_name
from edgeprune.plan.program import Buffer, Program, Step
from edgeprune.plan.schedule import Schedule
from edgeprune.plan.settle import Settled

__all__ = ["program_of"]


def program_of(table: Schedule, device: Device, objective: Objective, settled: Settled) -> Program:
    """The program of `settled`, whose options are among those of `table`."""
    chosen, packing = settled.chosen, settled.packing
    parts = packing.parts or ((_main_memory(device, packing.arena_bytes).name, packing.arena_bytes),)
    candidates = [option.candidate for option in chosen]

    def buffer(storage: Storage, name: str) -> Buffer:
        offset = packing.offsets[storage.name]
        region = _region(parts, offset)
        return Buffer(name, storage.tensors, region, offset, storage.size_bytes, storage.first, storage.last)

    def fits(option: Option) -> bool:
        return option.need_bytes + option.candidate.persistent_bytes <= room

    room = max(packing.arena_bytes, objective.ram_bytes or 0 if objective.copies_flash else 0)
    titles = {scratch_name(i): f"{nodes[-1].name} scratch" for i, nodes in enumerate(table.steps)}
    titles |= {persistent_name(i): f"{nodes[-1].name} persistent" for i, nodes in enumerate(table.steps)}
    own = {s.name: buffer(s, titles[s.name]) for s in own_storages(table.steps, candidates)}
    steps = tuple(
        Step(
            _title(nodes),
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
        persistent_bytes=table.graph.state_bytes
        + sum(candidate.persistent_bytes for candidate in candidates),
        lower_bound_bytes=_lower_bound_bytes(buffers),
        fed=None if table.fed is None else table.owner[table.fed],
        views={name: holder for name, holder in table.owner.items() if name != holder},
        parts=parts,
    )


def _main_memory(device: Device, arena_bytes: int) -> Memory:
    """The memory for an arena in one part: the fastest that holds it, or the largest."""
    memories = device.data_memories
    return next(
        (m for m in memories if m.size_bytes >= arena_bytes), max(memories, key=lambda m: m.size_bytes)
    )


def _region(parts: Sequence[tuple[str, int]], offset: int) -> str:
    """The memory in whose part a buffer at `offset` lies."""
    ends = itertools.accumulate(size for _, size in parts)
    return next((name for (name, _), end in zip(parts, ends, strict=True) if offset < end), parts[-1][0])


def _title(nodes: Group) -> str:
    """A step's name: its last node's or, where the nodes are ONNX's own, the heaviest one's, which made the rest."""
    plain = all(node.op == "Onnx" for node in nodes)
    return max(nodes, key=lambda node: operator_for(node).macs(node)).name if plain else nodes[-1].name


def _lower_bound_bytes(buffers: Sequence[Buffer]) -> int:
    """The largest sum of bytes alive at one step."""
    moments = {buffer.first_step for buffer in buffers}
    return max(
        (sum(b.size_bytes for b in buffers if b.first_step <= m <= b.last_step) for m in moments), default=0
    )
