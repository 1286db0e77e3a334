"""Cortex-M33: in order, with a 16-bit branch folded into the instruction before it."""

from __future__ import annotations

from edgeprune.cycles.cores._in_order import Run, Timing
from edgeprune.cycles.cores._pipeline import Block, Scheduled
from edgeprune.cycles.instruction import Instruction
from edgeprune.cycles.model import Validation

__all__ = ["MODEL"]

TIMING = Timing()


def _run(code: tuple[Instruction, ...]) -> Block:
    return Run(TIMING).block(code)


MODEL = Scheduled(
    cores=("cortex-m33",),
    name="Cortex-M33 schedule",
    source="published micro-benchmarks on the RP2350",
    run=_run,
    macs_per_cycle=2.0,
    validation=Validation(9, 1.8, 4.1, "STM32U575"),
    # The code region is read through the instruction cache's port, one cycle behind the system bus.
    flash_load_cycles=1.0,
)
