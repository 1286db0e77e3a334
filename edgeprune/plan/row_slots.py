"""Where the rows of a stage lie: each in a slot of its own from the turn that writes it to the last that reads it.

Slots are placed one after another, each as low as it fits beside those that live at the same time, above the scratch
of the kernels that run meanwhile, which lies at the bottom. Several orders are tried, and from each a few that place
first what lay too high.

An input of the stage in the arena may lie over the slots, as far as the rows at its beginning have been read for the
last time when a slot is first written: its rows are read from the first to the last, so what holds for its least
distance above the slots holds for any larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Above", "Placed", "Slot", "place_slots", "slots_floor"]

_ALIGN = 8
_MOVES = 16


@dataclass(frozen=True)
class Slot:
    """Bytes in use from turn `birth` to turn `death`, both included."""

    size_bytes: int
    birth: int
    death: int


@dataclass(frozen=True)
class Above:
    """An input of so many bytes; at each turn, where the first row begins that it or a later one reads."""

    size_bytes: int
    unread: tuple[int, ...]


@dataclass(frozen=True)
class Placed:
    """An offset for each slot, the bytes of all with scratch, and how far above their start each input may lie."""

    offsets: tuple[int, ...]
    height: int
    distances: tuple[int, ...]

    def reach(self, slots: Sequence[Slot], unread: Sequence[int]) -> list[int]:
        """How far each slot's end lies above what has been read of the inputs when it is first written."""
        return [o + slot.size_bytes - u for o, slot, u in zip(self.offsets, slots, unread, strict=True)]

    def total_bytes(self, above: Sequence[Above]) -> int:
        """Bytes of all with the input that reaches highest."""
        ends = (d + one.size_bytes for d, one in zip(self.distances, above, strict=True))
        return max(self.height, *ends, 0)


def slots_floor(slots: Sequence[Slot], scratch: Sequence[int], above: Sequence[Above] = ()) -> Placed:
    """What no placing can undercut, offsets left out: the most in use at one turn, `scratch` of the turn included."""
    change = np.zeros(len(scratch) + 1, np.int64)
    for slot in slots:
        change[slot.birth] += _aligned(slot.size_bytes)
        change[slot.death + 1] -= _aligned(slot.size_bytes)
    used = np.cumsum(change[:-1]) + np.array([_aligned(size) for size in scratch], np.int64)
    distances = (max(0, int((used - np.array(one.unread, np.int64)).max(initial=0))) for one in above)
    return Placed((), int(used.max(initial=0)), tuple(distances))


def place_slots(slots: Sequence[Slot], scratch: Sequence[int], above: Sequence[Above] = ()) -> Placed:
    """Offsets with which slots, scratch and the input that reaches highest take few bytes."""
    floor = slots_floor(slots, scratch, above).total_bytes(above)
    ground = [_aligned(max(scratch[slot.birth : slot.death + 1])) for slot in slots]
    unread = [min((one.unread[slot.birth] for one in above), default=0) for slot in slots]
    orders: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (slots[i].birth, -slots[i].size_bytes, i),
        lambda i: (unread[i] - slots[i].size_bytes, i),
        lambda i: (-ground[i], slots[i].birth, i),
        lambda i: (-slots[i].size_bytes, slots[i].birth, i),
        lambda i: (slots[i].birth - slots[i].death, slots[i].birth, i),
        lambda i: ((slots[i].birth - slots[i].death) * slots[i].size_bytes, slots[i].birth, i),
    )
    meets = _meetings(slots)
    best: Placed | None = None
    for key in orders:
        order = sorted(range(len(slots)), key=key)
        for _ in range(_MOVES):
            found = _placed(slots, scratch, above, _first_fit(slots, ground, meets, order))
            if best is None or found.total_bytes(above) < best.total_bytes(above):
                best = found
            if best.total_bytes(above) == floor or not order:
                return best
            worst = max(order, key=found.reach(slots, unread).__getitem__)
            order.remove(worst)
            order.insert(0, worst)
    assert best is not None
    return best


def _placed(
    slots: Sequence[Slot], scratch: Sequence[int], above: Sequence[Above], offsets: tuple[int, ...]
) -> Placed:
    ends = [offset + _aligned(slot.size_bytes) for offset, slot in zip(offsets, slots, strict=True)]
    distances = tuple(
        max(
            0,
            *(end - one.unread[slot.birth] for end, slot in zip(ends, slots, strict=True)),
            *(_aligned(size) - unread for size, unread in zip(scratch, one.unread, strict=True)),
        )
        for one in above
    )
    return Placed(offsets, max([*ends, *map(_aligned, scratch)], default=0), distances)


def _meetings(slots: Sequence[Slot]) -> list[list[int]]:
    """For each slot the others in use at a turn at which it is."""
    return [
        [j for j, two in enumerate(slots) if j != i and two.birth <= one.death and one.birth <= two.death]
        for i, one in enumerate(slots)
    ]


def _first_fit(
    slots: Sequence[Slot], ground: Sequence[int], meets: Sequence[Sequence[int]], order: Sequence[int]
) -> tuple[int, ...]:
    ranges: dict[int, tuple[int, int]] = {}
    for index in order:
        offset, size = ground[index], _aligned(slots[index].size_bytes)
        for low, high in sorted(ranges[other] for other in meets[index] if other in ranges):
            if offset + size <= low:
                break
            offset = max(offset, high)
        ranges[index] = offset, offset + size
    return tuple(ranges[index][0] for index in range(len(slots)))


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
