"""What waiting for flash costs, from what a simulated cache or prefetch buffer saw."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.cycles.cost import Cause, Cost
from edgeprune.device import Flash

__all__ = ["FlashTraffic", "flash_cost"]


@dataclass(frozen=True)
class FlashTraffic:
    """Accesses to flash, as the accelerator between core and flash saw them.

    A miss is sequential if it is of the flash word behind the one read before, which a prefetch has fetched.

    Attributes:
        sequential_misses: code words that had to be read, the one before them just having been.
        other_misses: all other code words that had to be read.
        data_misses: data words that had to be read.
        loads: load instructions that read flash, cached or not.
        load_bytes: bytes they read.
        unaligned: accesses that were not aligned, to any memory.
    """

    sequential_misses: float = 0.0
    other_misses: float = 0.0
    data_misses: float = 0.0
    loads: float = 0.0
    load_bytes: float = 0.0
    unaligned: float = 0.0


def flash_cost(traffic: FlashTraffic, flash: Flash, load_cycles: float) -> Cost:
    """Cycles lost to flash.

    Args:
        traffic: what was read.
        flash: wait states, and whether a prefetch hides sequential misses.
        load_cycles: what the core's own path to flash adds to a load.
    """
    misses = traffic.other_misses + (0.0 if flash.prefetch else traffic.sequential_misses)
    data = traffic.data_misses if flash.data_lines or flash.unified else traffic.loads
    return Cost.stall(Cause.FLASH_CODE, flash.wait_states * misses) + Cost.stall(
        Cause.FLASH_DATA, flash.wait_states * data + load_cycles * traffic.loads
    )
