"""Offsets for all that a schedule keeps in the arena: activations, scratch, and what lasts between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.graph.ir import DTYPES, Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.choose import Option
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.overlap import input_distances, scratch_distances
from edgeprune.plan.pack import Effort, Packing, pack
from edgeprune.plan.regions import Problem, pack_regions
from edgeprune.plan.schedule import Schedule

__all__ = ["ALIGN", "own_storages", "persistent_name", "place", "scratch_name"]

ALIGN = 8
"""The alignment of the arena and of scratch."""
_WORD = 4
_PERSISTENT = "\0persistent "


def place(table: Schedule, chosen: Sequence[Option], limit: int | None = None) -> Packing:
    """Offsets for activations and scratch; on words where that saves memory over doublewords.

    What lasts lies below, where it is in nobody's way. Memories of `table.rooms` share the arena (`plan.regions`).
    Without such, and with a `limit`, the search ends as soon as it is met, and earlier where it is not.
    """
    own = own_storages(table.steps, [option.candidate for option in chosen])
    copies = [storage for storage in own if storage.name.startswith(_PERSISTENT)]
    states = [storage for storage in table.storages if storage.kept]
    lasting, top = _stacked([*copies, *states])
    everything = [storage for storage in (*table.storages, *own) if storage.name not in lasting]
    by_name = {storage.name: storage for storage in everything}
    distances = {
        (upper, lower): distance
        for step, option in enumerate(chosen)
        for lower, above in (
            (table.owner[option.candidate.nodes[-1].output.name], input_distances),
            (scratch_name(step), scratch_distances),
        )
        if lower in by_name
        for upper, distance in above(option.candidate, table.owner).items()
        if upper in by_name and by_name[upper].dies_at(step)
    }
    if table.rooms:
        cycles = tuple(option.candidate.cycles for option in chosen)
        split = pack_regions(Problem(tuple(everything), distances, top, cycles, ALIGN), table.rooms)
        return replace(split, offsets={**lasting, **split.offsets})
    state_bytes = sum(storage.size_bytes for storage in states)
    bound = max((option.need_bytes for option in chosen), default=state_bytes) - state_bytes
    effort = Effort.FULL if limit is None else Effort.QUICK
    bound = bound if limit is None else max(bound, limit - top)
    packing = pack(everything, distances, lambda storage: ALIGN, bound, effort)
    numbers = (*(storage.size_bytes for storage in everything), *distances.values())
    if packing.arena_bytes > bound and any(0 < number % ALIGN <= _WORD for number in numbers):
        wide = _wide_tensors(table.graph)
        narrow = pack(
            everything,
            distances,
            lambda storage: _WORD if storage.tensors and storage.name not in wide else ALIGN,
            bound,
            effort,
        )
        packing = min(packing, narrow, key=lambda one: one.arena_bytes)
    above = {name: top + offset for name, offset in packing.offsets.items()}
    return Packing({**lasting, **above}, top + packing.arena_bytes, packing.proven)


def _stacked(storages: Sequence[Storage]) -> tuple[dict[str, int], int]:
    """Offsets of `storages` one upon the other, and where they end."""
    offsets, top = {}, 0
    for storage in storages:
        offsets[storage.name] = top
        top += -(-storage.size_bytes // ALIGN) * ALIGN
    return offsets, top


def own_storages(steps: Sequence[tuple[Node, ...]], candidates: Sequence[Candidate]) -> list[Storage]:
    """Scratch and persistent parts of the steps, as storages without tensors."""
    last = len(steps) - 1
    found = []
    for index, candidate in enumerate(candidates):
        if candidate.scratch_bytes:
            found.append(Storage(scratch_name(index), (), candidate.scratch_bytes, index, index))
        if candidate.persistent_bytes:
            found.append(Storage(persistent_name(index), (), candidate.persistent_bytes, 0, last))
    return found


def scratch_name(step: int) -> str:
    """The name of a step's scratch among storages; no tensor's name contains a zero byte."""
    return f"\0scratch {step}"


def persistent_name(step: int) -> str:
    """The name of a step's persistent part among storages."""
    return f"{_PERSISTENT}{step}"


def _wide_tensors(graph: Graph) -> set[str]:
    return {tensor.name for tensor in graph.tensors() if DTYPES[tensor.dtype].itemsize > _WORD}
