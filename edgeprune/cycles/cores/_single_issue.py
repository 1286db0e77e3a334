"""The model of a core that issues one instruction at a time, made from its timing table."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.cycles.cores._events import Event, Timing, branch_event, straight_events
from edgeprune.cycles.cost import Cost
from edgeprune.cycles.instruction import Instruction
from edgeprune.cycles.model import Validation

__all__ = ["SingleIssue"]


@dataclass(frozen=True)
class SingleIssue:
    """A `CoreModel` whose timing is a `Timing`."""

    cores: tuple[str, ...]
    name: str
    source: str
    timing: Timing
    macs_per_cycle: float
    validation: Validation | None = None
    float_validated: bool = False
    flash_load_cycles: float = 0.0

    @property
    def unaligned_cycles(self) -> float:
        """See `CoreModel`."""
        charge = self.timing.charges.get(Event.UNALIGNED)
        return charge.cycles if charge else 0.0

    def cost(self, code: tuple[Instruction, ...], executions: int, taken: int) -> Cost:
        """See `CoreModel.cost`."""
        straight = self.timing.cost(len(code), straight_events(code)).times(executions)
        event = branch_event(code[-1])
        if event is None:
            return straight
        times = executions if code[-1].always_taken else taken
        return straight + self.timing.cost(0, {event: times})
