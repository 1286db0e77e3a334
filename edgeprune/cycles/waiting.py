"""What waiting for memories costs, from what a simulated cache or prefetch buffer saw."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.cycles.cost import Cause, Cost
from edgeprune.device import Flash

__all__ = ["Traffic", "waiting_cost"]


@dataclass(frozen=True)
class Traffic:
    """Accesses to flash, as the accelerator between core and flash saw them, and waits for slow RAM.

    A miss is sequential if it is of the flash word behind the one read before, which a prefetch has fetched.

    Attributes:
        sequential_misses: code words that had to be read, the one before them just having been.
        other_misses: all other code words that had to be read.
        data_misses: data words that had to be read.
        loads: words of flash that loads read, cached or not; neighbouring elements of a vector in a word are one.
        load_bytes: bytes they read.
        unaligned: accesses that were not aligned, to any memory.
        ram_waits: cycles that reads and writes of parts of the arena in slow RAM wait, as if nothing cached them.
    """

    sequential_misses: float = 0.0
    other_misses: float = 0.0
    data_misses: float = 0.0
    loads: float = 0.0
    load_bytes: float = 0.0
    unaligned: float = 0.0
    ram_waits: float = 0.0


def waiting_cost(
    traffic: Traffic, flash: Flash | None, load_cycles: float = 0.0, unaligned_cycles: float = 0.0
) -> Cost:
    """Cycles lost to flash, to slow RAM and to accesses that are not aligned.

    Args:
        traffic: what was read.
        flash: wait states, and whether a prefetch hides sequential misses; None where flash is as fast as the core.
        load_cycles: what the core's own path to flash adds to a load.
        unaligned_cycles: what an access that is not aligned costs besides.
    """
    cost = Cost.stall(Cause.LOAD, unaligned_cycles * traffic.unaligned)
    cost += Cost.stall(Cause.RAM, traffic.ram_waits)
    if flash is None:
        return cost
    misses = traffic.other_misses + (0.0 if flash.prefetch else traffic.sequential_misses)
    data = traffic.data_misses if flash.data_lines or flash.unified else traffic.loads
    cost += Cost.stall(Cause.FLASH_CODE, flash.wait_states * misses)
    return cost + Cost.stall(Cause.FLASH_DATA, flash.wait_states * data + load_cycles * traffic.loads)
