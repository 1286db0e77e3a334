"""`Objective`: what a plan is asked to spend least of, and the budgets it must keep."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Memory
from edgeprune.errors import UsageError

__all__ = ["GOALS", "Objective"]

GOALS = ("latency", "ram", "flash")


@dataclass(frozen=True)
class Objective:
    """Spend the least of `optimize`; ties go to the other two, in the order latency, ram, flash.

    `flash_bytes` limits the sum of the candidates' estimates and `ram_bytes` the arena, persistent part
    included; None means no limit. Up to a limit memory is spent for speed where `spends_flash` and `spends_ram` say so:
    on weights packed into several times their bytes, and on copies of flash in RAM. Where the limit is but what the
    device has, they should not.

    Where "ram" is optimized, two plans are compared by it and by time, a percent of the one being worth `ram_exchange`
    percent of the other, so that no network takes twice the time for its last bytes. A plan that comes out of this may
    grow by a bounded share where that saves time at a lower price (`plan.settle`). 0 asks for the least RAM alone.

    The arena may be split over the memories `rooms`, fastest first; without any it is whole.

    Raises:
        UsageError: `optimize` is not one of `GOALS`.
    """

    optimize: str = "latency"
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    spends_flash: bool = True
    spends_ram: bool = True
    ram_exchange: int = 8
    rooms: tuple[Memory, ...] = ()

    def __post_init__(self) -> None:
        if self.optimize not in GOALS:
            raise UsageError(
                f"cannot optimize for {self.optimize!r}; choose one of {', '.join(GOALS)} for --optimize"
            )

    @property
    def expands_weights(self) -> bool:
        """Whether weights may be packed into several times their bytes."""
        return self.spends_flash and self.flash_bytes is not None

    @property
    def copies_flash(self) -> bool:
        """Whether copies of flash may take RAM beyond what the activations take anyway."""
        return self.spends_ram and self.ram_bytes is not None

    @property
    def priorities(self) -> tuple[str, ...]:
        """The goals, first things first."""
        return (self.optimize, *(goal for goal in GOALS if goal != self.optimize))
