"""Cortex-M0+: the timing table of its technical reference manual, with the single-cycle multiplier."""

from __future__ import annotations

from types import MappingProxyType

from edgeprune.cycles.cores._events import Charge, Event, Timing
from edgeprune.cycles.cores._single_issue import SingleIssue
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.model import Validation

__all__ = ["MODEL"]

# ARM DDI 0484C, table 3-1: loads and stores 2, lists of registers 1 + N, a taken branch 2, a call 3, a return that
# loads the program counter 3 + N.
TIMING = Timing(
    MappingProxyType(
        {
            Event.LOAD: Charge(Cause.LOAD, 1),
            Event.PIPED_ACCESS: Charge(Cause.LOAD, 1),
            Event.STORE: Charge(Cause.STORE, 1),
            Event.INDEXED_STORE: Charge(Cause.STORE, 1),
            Event.TRANSFER: Charge(Cause.TRANSFERS, 1),
            Event.TAKEN: Charge(Cause.BRANCH, 1),
            Event.CALL: Charge(Cause.BRANCH, 2),
            Event.INDIRECT: Charge(Cause.BRANCH, 1),
            Event.RETURN: Charge(Cause.BRANCH, 2),
        }
    )
)

MODEL = SingleIssue(
    cores=("cortex-m0plus",),
    name="Cortex-M0+ timing table",
    source="ARM DDI 0484C, table 3-1",
    timing=TIMING,
    macs_per_cycle=1.0,
    validation=Validation(4, 5.4, 7.0, "STM32G0B1, held out when the rules were chosen"),
)
