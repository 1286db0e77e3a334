"""Candidates and addresses together: choose, pack, and where the packing misses its limit, choose again.

The choice knows what each step needs by itself, which no packing can undercut. Packing may take more: offsets
that several steps ask for can exclude one another. Then the step that needs the most is tightened, and the
choice made again, a bounded number of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeprune.errors import OverBudget
from edgeprune.plan.choose import Option, choose, sensible
from edgeprune.plan.objective import Objective
from edgeprune.plan.pack import Packing
from edgeprune.plan.place import place
from edgeprune.plan.schedule import Schedule

__all__ = ["Settled", "merit", "settle", "settle_placements"]

_TIGHTENINGS = 8
_IMPROVEMENTS = 6
_EXCHANGED = (0.01, 0.02, 0.04, 0.0625, 0.125, 0.375)
"""Shares of the least arena that are offered for time where RAM is optimized."""
_WORTH = 0.4
"""The percent of time that a percent of the arena must save, within the shares that are offered."""


@dataclass(frozen=True, eq=False)
class Settled:
    """An option for each step, and an offset for each storage."""

    chosen: tuple[Option, ...]
    packing: Packing


def settle(table: Schedule, objective: Objective) -> Settled:
    """The choice and packing that `objective` asks for.

    Raises:
        OverBudget: no packing within `objective.ram_bytes` was found; the sentence names the step that binds.
    """
    worthwhile = tuple(sensible(step) for step in table.options)
    if objective.optimize != "ram":
        settled = _within(table, worthwhile, objective, objective.ram_bytes)
        if settled is not None:
            return settled
    least = _least(table, worthwhile, objective)
    if objective.ram_bytes is not None and least.packing.arena_bytes > objective.ram_bytes:
        raise OverBudget(_binding(table, least, objective.ram_bytes))
    return least


def settle_placements(table: Schedule, objective: Objective, settled: Settled) -> Settled:
    """`settled`, or what is better by `objective` with the options of `table`, where constants are copied to RAM.

    Where `objective` spends no RAM for speed the arena gets no larger by it, but for what `objective.ram_exchange`
    allows where RAM is optimized.
    """
    least = settled.packing.arena_bytes
    options = tuple(sensible(step) for step in table.options)
    if objective.optimize != "ram":
        limit = objective.ram_bytes if objective.copies_flash else least
        found = _within(table, options, objective, limit)
        return settled if found is None else min(settled, found, key=lambda one: _merit(one, objective))
    fast = replace(objective, optimize="latency", ram_bytes=None)
    rooms = [least + int(least * share) for share in _EXCHANGED] if objective.ram_exchange else []
    allowed = [room for room in rooms if objective.ram_bytes is None or room <= objective.ram_bytes]
    offers = [settled, *(_within(table, options, fast, room) for room in (least, *allowed))]
    offers += [_sped_up(table, options, settled, room) for room in allowed]
    return min((one for one in offers if one is not None), key=lambda one: _exchanged(one, objective, _WORTH))


def merit(settled: Settled, objective: Objective) -> tuple[float, ...]:
    """What `objective` asks to have little of, first things first, for comparing plans of a graph."""
    return (_exchanged if objective.optimize == "ram" else _merit)(settled, objective)


def _exchanged(settled: Settled, objective: Objective, worth: float | None = None) -> tuple[float, ...]:
    """What to have little of where RAM is optimized: flash beyond the budget, then RAM with time at its price.

    A percent of RAM is `worth` so many percent of time, by default what `objective` says.
    """
    beyond, cycles, arena, _ = _merit(settled, replace(objective, optimize="latency"))
    if not objective.ram_exchange:
        return beyond, arena, cycles
    price = objective.ram_exchange if worth is None else worth
    return beyond, price * math.log(max(arena, 1)) + math.log(max(cycles, 1))


def _merit(settled: Settled, objective: Objective) -> tuple[int, ...]:
    """What to have little of: flash beyond the budget, then what `objective` asks for."""
    candidates = [option.candidate for option in settled.chosen]
    flash = sum(candidate.flash_bytes for candidate in candidates)
    beyond = 0 if objective.flash_bytes is None else max(0, flash - objective.flash_bytes)
    amounts = {
        "latency": sum(candidate.cycles for candidate in candidates),
        "ram": settled.packing.arena_bytes,
        "flash": flash,
    }
    return beyond, *(amounts[goal] for goal in objective.priorities)


def _least(table: Schedule, options: Sequence[Sequence[Option]], objective: Objective) -> Settled:
    """The lowest arena found, with the fewest cycles found in it.

    It starts from the least need of every step and asks for fast choices in less and less, because the choice
    with the least needs is not always the one that packs best.
    """
    free = replace(objective, ram_bytes=None)
    first = _within(table, options, replace(free, optimize="ram"), None)
    assert first is not None
    best = min(first, _sparing(table, options), key=lambda one: one.packing.arena_bytes)
    fast = replace(free, optimize="latency")
    for _ in range(_IMPROVEMENTS):
        lower = _within(table, options, fast, best.packing.arena_bytes - 1)
        if lower is None:
            break
        best = lower
    return _within(table, options, fast, best.packing.arena_bytes) or _sped_up(table, options, best)


def _sparing(table: Schedule, options: Sequence[Sequence[Option]]) -> Settled:
    """Every step in the least memory that it can run in.

    Where steps only share the largest need, the distances of one can be in the way of its neighbours'.
    """
    chosen = tuple(
        min(step, key=lambda option: (option.need_bytes, option.candidate.cycles)) for step in options
    )
    return Settled(chosen, place(table, chosen))


def _sped_up(
    table: Schedule, options: Sequence[Sequence[Option]], settled: Settled, room: int | None = None
) -> Settled:
    """`settled` with faster options, the largest savings first, wherever its arena, or `room`, holds the network."""
    limit = room or settled.packing.arena_bytes
    chosen = list(settled.chosen)
    faster = [
        (chosen[step].candidate.cycles - option.candidate.cycles, step, option)
        for step, offered in enumerate(options)
        for option in offered
        if option.candidate.cycles < chosen[step].candidate.cycles and option.need_bytes <= limit
    ]
    packing, done = settled.packing, set[int]()
    for _, step, option in sorted(faster, key=lambda one: -one[0]):
        if step in done:
            continue
        tried = [*chosen[:step], option, *chosen[step + 1 :]]
        found = place(table, tried, limit)
        if found.arena_bytes <= limit:
            chosen, packing = tried, found
            done.add(step)
    return Settled(tuple(chosen), packing)


def _within(
    table: Schedule, options: Sequence[Sequence[Option]], objective: Objective, limit: int | None
) -> Settled | None:
    """A choice by `objective` whose packing ends at or below `limit`, or None when none was found."""
    limits: list[int | None] = [limit] * len(options)
    for _ in range(_TIGHTENINGS):
        chosen = _chosen(options, replace(objective, ram_bytes=limit), limits)
        if chosen is None:
            return None
        packings = [] if limit is None else [place(table, chosen, limit)]
        if limit is None or packings[0].arena_bytes <= limit:
            packings.append(place(table, chosen))
            return Settled(chosen, min(packings, key=lambda packing: packing.arena_bytes))
        beyond = packings[0].arena_bytes - limit
        if _persistent_bytes(chosen) >= beyond:
            limits = [None if one is None else one - beyond for one in limits]
            continue
        worst = _worst(options, chosen)
        if worst is None:
            return None
        limits[worst] = chosen[worst].need_bytes + _persistent_bytes(chosen) - 1
    return None


def _persistent_bytes(chosen: Sequence[Option]) -> int:
    return sum(option.candidate.persistent_bytes for option in chosen)


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


def _binding(table: Schedule, settled: Settled, budget: int) -> str:
    chosen, packing = settled.chosen, settled.packing
    if not chosen:
        return (
            f"the network's inputs take {packing.arena_bytes:,} B and may take {budget:,} B; allow more RAM"
        )
    step = max(range(len(chosen)), key=lambda index: chosen[index].need_bytes)
    alive = [f"{storage.name!r} {storage.size_bytes:,} B" for storage in table.alive(step)]
    if chosen[step].candidate.scratch_bytes:
        alive.append(f"scratch {chosen[step].candidate.scratch_bytes:,} B")
    phrase = " and ".join([", ".join(alive[:-1]), alive[-1]] if len(alive) > 1 else alive)
    takes = f"the arena takes {packing.arena_bytes:,} B and may take {budget:,} B"
    if packing.misses:
        sizes = [f"{size:,}" for size in packing.misses]
        takes = f"no way was found to lay the arena in memories of {', '.join(sizes[:-1])} and {sizes[-1]} B"
    return (
        f"{takes}: at step "
        f"{table.steps[step][-1].name!r} {phrase} are alive together; allow more RAM or prune that layer"
    )
