"""`Objective`: what a plan is asked to spend least of, and the budgets it must keep."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.errors import UsageError

__all__ = ["GOALS", "Objective"]

GOALS = ("latency", "ram", "flash")


@dataclass(frozen=True)
class Objective:
    """Spend the least of `optimize`; ties go to the other two, in the order latency, ram, flash.

    `flash_bytes` limits the sum of the candidates' estimates and `ram_bytes` the arena, persistent part
    included; None means no limit. Without `ram_bytes` no candidate that keeps a copy of flash in RAM is used.

    Raises:
        UsageError: `optimize` is not one of `GOALS`.
    """

    optimize: str = "latency"
    flash_bytes: int | None = None
    ram_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.optimize not in GOALS:
            raise UsageError(
                f"cannot optimize for {self.optimize!r}; choose one of {', '.join(GOALS)} for --optimize"
            )

    @property
    def priorities(self) -> tuple[str, ...]:
        """The goals, first things first."""
        return (self.optimize, *(goal for goal in GOALS if goal != self.optimize))
