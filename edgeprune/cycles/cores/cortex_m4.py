"""Cortex-M4: the timing table of its technical reference manual."""

from __future__ import annotations

from types import MappingProxyType

from edgeprune.cycles.cores._events import Charge, Event, Timing
from edgeprune.cycles.cores._single_issue import SingleIssue
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.model import Validation

__all__ = ["MODEL"]

# ARM DDI 0439D, table 3-1 and section 3.3.2 (loads, stores), table 7-1 (floating point). Where the manual gives a
# range, what stands here is: 2 of 1 to 3 cycles to refill the pipeline after a branch whose target is in the
# instruction, 3 where it comes out of a register or memory; 6 of 2 to 12 for a division; 1 of 1 or 2 for an
# unaligned access. None is fitted.
TIMING = Timing(
    MappingProxyType(
        {
            Event.LOAD: Charge(Cause.LOAD, 1),
            Event.INDEXED_STORE: Charge(Cause.STORE, 1),
            Event.DUAL: Charge(Cause.TRANSFERS, 2),
            Event.TRANSFER: Charge(Cause.TRANSFERS, 1),
            Event.ADDRESS: Charge(Cause.ADDRESS, 1),
            Event.UNALIGNED: Charge(Cause.LOAD, 1),
            Event.DIVIDE: Charge(Cause.DIVIDE, 5),
            Event.FLOAT_ADD: Charge(Cause.FLOAT, 2),
            Event.FLOAT_DIVIDE: Charge(Cause.FLOAT, 13),
            Event.TAKEN: Charge(Cause.BRANCH, 2),
            Event.CALL: Charge(Cause.BRANCH, 2),
            Event.INDIRECT: Charge(Cause.BRANCH, 3),
            Event.RETURN: Charge(Cause.BRANCH, 3),
            Event.TABLE: Charge(Cause.BRANCH, 4),
        }
    )
)

MODEL = SingleIssue(
    cores=("cortex-m4",),
    name="Cortex-M4 timing table",
    source="ARM DDI 0439D, tables 3-1 and 7-1, section 3.3.2",
    timing=TIMING,
    macs_per_cycle=2.0,
    validation=Validation(24, 5.6, 12.1, "STM32L4R5"),
    float_validated=True,
)
