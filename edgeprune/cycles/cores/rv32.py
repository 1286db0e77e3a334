"""RV32IM[A]C in order, one instruction at a time: the documented timing of Hazard3, the core of the RP2350.

Cores differ (the ESP32-C3 has four stages, the Bumblebee of the GD32VF103 two); none was compared with silicon.
"""

from __future__ import annotations

from types import MappingProxyType

from edgeprune.cycles.cores._events import Charge, Event, Timing
from edgeprune.cycles.cores._single_issue import SingleIssue
from edgeprune.cycles.cost import Cause

__all__ = ["MODEL"]

# Hazard3 documentation, "Instruction Cycle Counts": a dependent instruction behind a load waits 1, taken branches
# and jumps take 2, MUL 1, DIV 18 (two bits per cycle).
TIMING = Timing(
    MappingProxyType(
        {
            Event.LOAD_USE: Charge(Cause.OPERAND, 1),
            Event.DIVIDE: Charge(Cause.DIVIDE, 17),
            Event.TAKEN: Charge(Cause.BRANCH, 1),
            Event.CALL: Charge(Cause.BRANCH, 1),
            Event.INDIRECT: Charge(Cause.BRANCH, 1),
        }
    )
)

MODEL = SingleIssue(
    cores=("rv32imc", "rv32imac"),
    name="RV32 in-order timing",
    source="Hazard3 documentation, instruction cycle counts",
    timing=TIMING,
    macs_per_cycle=0.5,
)
