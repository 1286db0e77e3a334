"""One arena in several memories: which storages go to which, and an offset for each.

Each memory's part is packed by itself (`plan.pack`); a distance that lets an output overwrite its input counts where
both are in one part, and elsewhere nothing is to be kept. Storages are handed out one after another, each to the first
memory whose part still holds it. Where memories differ in speed, the fastest come first and so do the storages that are
in use longest for their bytes, by the cycles of the steps that use them; otherwise the largest come first.

All parts together have one range of offsets, part behind part, so that all else takes them for one arena. What lasts
between runs lies at the beginning of the first part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.device import Device, Memory
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.objective import Objective
from edgeprune.plan.pack import Effort, Packing, pack

__all__ = ["Problem", "pack_regions", "split_arena", "whole_arena"]


def whole_arena(device: Device, objective: Objective) -> Objective:
    """`objective` with no more RAM than the memory has in which an arena of one part lies."""
    if objective.ram_bytes is None:
        return objective
    return replace(objective, ram_bytes=min(objective.ram_bytes, device.data_memories[0].size_bytes))


def split_arena(device: Device, objective: Objective) -> Objective | None:
    """`objective` with all the memories of `device` for the arena, where it has several and may use more than one.

    Where some are slower than others, little is to lie there: then RAM is what the plan spends least of.
    """
    rooms, limit = device.data_memories, objective.ram_bytes
    if len(rooms) == 1 or (limit is not None and limit <= rooms[0].size_bytes):
        return None
    spends_ram = objective.spends_ram and limit is not None
    ram_bytes = min(device.all_ram_bytes if limit is None else limit, device.all_ram_bytes)
    goal = objective.optimize if len({room.wait_states for room in rooms}) == 1 else "ram"
    return replace(objective, optimize=goal, ram_bytes=ram_bytes, spends_ram=spends_ram, rooms=rooms)


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be packed; `lasting_bytes` lie at the beginning of one part, and `step_cycles` is each step's time."""

    storages: tuple[Storage, ...]
    distances: Mapping[tuple[str, str], int]
    lasting_bytes: int
    step_cycles: tuple[int, ...]
    align: int

    def heat(self, storage: Storage) -> float:
        """Cycles during which a byte is in use."""
        return sum(self.step_cycles[storage.first : storage.last + 1]) / max(storage.size_bytes, 1)


def pack_regions(problem: Problem, rooms: Sequence[Memory]) -> Packing:
    """The first packing found in the memories `rooms`, fastest first.

    Where none is found, a packing without offsets that `misses` the rooms, beyond any limit that they can keep.
    """
    found = next(
        (parts for order in _orders(problem, rooms) if (parts := _handed_out(problem, order, rooms))), None
    )
    if found is None:
        sizes = tuple(room.size_bytes for room in rooms)
        return Packing({}, sum(sizes) + 1, proven=False, misses=sizes)
    return found


def _orders(problem: Problem, rooms: Sequence[Memory]) -> Iterator[list[Storage]]:
    """Orders to hand storages out in, most promising first."""
    keys: list[Callable[[Storage], tuple[float, ...]]] = [
        lambda s: (-s.size_bytes, s.first),
        lambda s: (-s.size_bytes * (s.last - s.first + 1), s.first),
        lambda s: (s.first, -s.size_bytes),
    ]
    if len({room.wait_states for room in rooms}) > 1:
        keys.insert(0, lambda s: (-problem.heat(s), s.first))
    for key in keys:
        yield sorted(problem.storages, key=lambda s, key=key: (*key(s), s.name))  # type: ignore[misc]


def _handed_out(problem: Problem, order: Sequence[Storage], rooms: Sequence[Memory]) -> Packing | None:
    """The packing by `order`, the lasting bytes in the first memory that has room for them; None where it fails."""
    members: list[list[Storage]] = [[] for _ in rooms]
    packings = [Packing({}, 0, proven=False) for _ in rooms]
    for storage in order:
        for index, room in enumerate(rooms):
            packed = _packed(problem, [*members[index], storage], room.size_bytes)
            if packed.arena_bytes <= room.size_bytes:
                members[index].append(storage)
                packings[index] = packed
                break
        else:
            return None
    # The lowest that each part gets: a memory with bytes left is worth more to others than one without.
    packings = [
        min(known, _packed(problem, one, 0, Effort.FULL), key=lambda packing: packing.arena_bytes)
        for one, known in zip(members, packings, strict=True)
    ]
    heights = [-(-packing.arena_bytes // problem.align) * problem.align for packing in packings]
    able = [i for i, room in enumerate(rooms) if heights[i] + problem.lasting_bytes <= room.size_bytes]
    if problem.lasting_bytes and not able:
        return None
    home = able[0] if problem.lasting_bytes else 0
    return _joined(problem, rooms, packings, heights, home)


def _joined(
    problem: Problem,
    rooms: Sequence[Memory],
    packings: Sequence[Packing],
    heights: Sequence[int],
    home: int,
) -> Packing:
    """One range of offsets for all parts, that of memory number `home` first; parts without bytes are left out."""
    offsets: dict[str, int] = {}
    parts: list[tuple[str, int]] = []
    start = 0
    for index in [home, *(i for i in range(len(rooms)) if i != home)]:
        size = heights[index] + (problem.lasting_bytes if index == home else 0)
        if not size:
            continue
        above = start + size - heights[index]
        offsets |= {name: above + offset for name, offset in packings[index].offsets.items()}
        parts.append((rooms[index].name, size))
        start += size
    return Packing(offsets, start, proven=False, parts=tuple(parts))


def _packed(
    problem: Problem, storages: Sequence[Storage], enough: int, effort: Effort = Effort.QUICK
) -> Packing:
    names = {storage.name for storage in storages}
    distances = {pair: least for pair, least in problem.distances.items() if names.issuperset(pair)}
    return pack(storages, distances, lambda storage: problem.align, enough, effort)
