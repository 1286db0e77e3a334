"""Cortex-M55: the Cortex-M33's schedule with Helium; never compared with silicon."""

from __future__ import annotations

from edgeprune.cycles.cores._in_order import Run, Timing
from edgeprune.cycles.cores._pipeline import Block, Scheduled
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.instruction import Instruction, Kind

__all__ = ["MODEL"]

_VECTOR_CYCLES = 2
"""A vector instruction has four beats of 32 bits, of which the core executes two per cycle (Arm 102692)."""
_ACCESSES_PER_CYCLE = 2
"""One for each beat. A gather or scatter of bytes or halfwords has several accesses for a beat: that each takes as long
as a beat's is assumed, for Arm publishes no figure."""

TIMING = Timing(narrow_multiply=1, loop_branch=0)


class _HeliumRun(Run):
    """Two neighbouring vector instructions of different pipelines (memory, arithmetic) overlap by one cycle."""

    def duration(self, instruction: Instruction) -> tuple[int, Cause]:
        """See `Run.duration`."""
        if not _is_vector(instruction):
            return super().duration(instruction)
        before = self.previous
        overlaps = before is not None and _is_vector(before) and _pipe(before) != _pipe(instruction)
        taken = max(_VECTOR_CYCLES, instruction.transfers // _ACCESSES_PER_CYCLE)
        return taken - overlaps, Cause.VECTOR


def _is_vector(instruction: Instruction) -> bool:
    return instruction.kind is Kind.VECTOR or instruction.name == "vector"


def _pipe(instruction: Instruction) -> bool:
    return instruction.kind in (Kind.LOAD, Kind.STORE)


def _run(code: tuple[Instruction, ...]) -> Block:
    return _HeliumRun(TIMING).block(code)


MODEL = Scheduled(
    cores=("cortex-m55",),
    name="Cortex-M55 schedule",
    source="Arm 102692 (beats per cycle), scalar code as the Cortex-M33's",
    run=_run,
    macs_per_cycle=8.0,
)
