"""Cortex-M3: as the Cortex-M4, with slower multiplications and neither DSP instructions nor an FPU."""

from __future__ import annotations

from types import MappingProxyType

from edgeprune.cycles.cores._events import Charge, Event, Timing
from edgeprune.cycles.cores._single_issue import SingleIssue
from edgeprune.cycles.cost import Cause

__all__ = ["MODEL"]

# ARM DDI 0337I, table 3-1 and section 3.3.2. Where the manual gives a range: 4 of 3 to 5 (SMULL) and of 4 to 7 (SMLAL)
# for 64-bit products, the other figures as for the Cortex-M4.
TIMING = Timing(
    MappingProxyType(
        {
            Event.LOAD: Charge(Cause.LOAD, 1),
            Event.INDEXED_STORE: Charge(Cause.STORE, 1),
            Event.DUAL: Charge(Cause.TRANSFERS, 2),
            Event.TRANSFER: Charge(Cause.TRANSFERS, 1),
            Event.ADDRESS: Charge(Cause.ADDRESS, 1),
            Event.UNALIGNED: Charge(Cause.LOAD, 1),
            Event.MULTIPLY_ADD: Charge(Cause.MULTIPLY, 1),
            Event.MULTIPLY_LONG: Charge(Cause.MULTIPLY, 3),
            Event.DIVIDE: Charge(Cause.DIVIDE, 5),
            Event.TAKEN: Charge(Cause.BRANCH, 2),
            Event.CALL: Charge(Cause.BRANCH, 2),
            Event.INDIRECT: Charge(Cause.BRANCH, 3),
            Event.RETURN: Charge(Cause.BRANCH, 3),
            Event.TABLE: Charge(Cause.BRANCH, 4),
        }
    )
)

MODEL = SingleIssue(
    cores=("cortex-m3",),
    name="Cortex-M3 timing table",
    source="ARM DDI 0337I, table 3-1, section 3.3.2",
    timing=TIMING,
    macs_per_cycle=0.5,
)
