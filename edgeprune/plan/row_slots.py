"""Where the rows of a stage lie: each in a slot of its own from the turn that writes it to the last that reads it.

Slots are placed one after another, each as low as it fits beside those that live at the same time, above the scratch
of the kernels that run meanwhile, which lies at the bottom. Several orders are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Slot", "place_slots", "slots_floor"]

_ALIGN = 8


@dataclass(frozen=True)
class Slot:
    """Bytes in use from turn `birth` to turn `death`, both included."""

    size_bytes: int
    birth: int
    death: int


def slots_floor(slots: Sequence[Slot], scratch: Sequence[int]) -> int:
    """Bytes without which no placing can do: the most in use at one turn, `scratch` of the turn included."""
    change = np.zeros(len(scratch) + 1, np.int64)
    for slot in slots:
        change[slot.birth] += _aligned(slot.size_bytes)
        change[slot.death + 1] -= _aligned(slot.size_bytes)
    used = np.cumsum(change[:-1]) + np.array([_aligned(size) for size in scratch], np.int64)
    return int(used.max(initial=0))


def place_slots(slots: Sequence[Slot], scratch: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """An offset for each slot, and the bytes of all with the scratch of each turn."""
    floor = slots_floor(slots, scratch)
    ground = [_aligned(max(scratch[slot.birth : slot.death + 1])) for slot in slots]
    orders: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (slots[i].birth, -slots[i].size_bytes, i),
        lambda i: (-ground[i], slots[i].birth, i),
        lambda i: (-slots[i].size_bytes, slots[i].birth, i),
        lambda i: (slots[i].birth - slots[i].death, slots[i].birth, i),
        lambda i: ((slots[i].birth - slots[i].death) * slots[i].size_bytes, slots[i].birth, i),
    )
    best: tuple[tuple[int, ...], int] | None = None
    for order in orders:
        offsets = _first_fit(slots, ground, sorted(range(len(slots)), key=order))
        ends = [offset + _aligned(slot.size_bytes) for offset, slot in zip(offsets, slots, strict=True)]
        height = max([*ends, *map(_aligned, scratch)], default=0)
        if best is None or height < best[1]:
            best = offsets, height
        if height == floor:
            break
    assert best is not None
    return best


def _first_fit(slots: Sequence[Slot], ground: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    offsets = [0] * len(slots)
    placed: list[int] = []
    for index in order:
        slot, size = slots[index], _aligned(slots[index].size_bytes)
        taken = sorted(
            (offsets[other], offsets[other] + _aligned(slots[other].size_bytes))
            for other in placed
            if slots[other].birth <= slot.death and slot.birth <= slots[other].death
        )
        offset = ground[index]
        for low, high in taken:
            if offset + size <= low:
                break
            offset = max(offset, high)
        offsets[index] = offset
        placed.append(index)
    return tuple(offsets)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
