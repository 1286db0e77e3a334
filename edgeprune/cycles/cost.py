"""Cycles and what they went to, as values that add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Cause", "Cost", "total"]


class Cause(Enum):
    """Why a cycle passed in which no instruction issued."""

    LOAD = "load"
    STORE = "store"
    TRANSFERS = "multiple transfers"
    ADDRESS = "address not ready"
    OPERAND = "operand not ready"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    FLOAT = "floating point"
    VECTOR = "vector beats"
    BRANCH = "branch"
    FLASH_CODE = "code from flash"
    FLASH_DATA = "data from flash"
    RAM = "slow RAM"


@dataclass(frozen=True)
class Cost:
    """Cycles, of which `stalls` says why some of them issued nothing.

    `cycles` may be a fraction: the steady state of a loop on a dual-issue core alternates between lengths.
    """

    cycles: float = 0.0
    stalls: Mapping[Cause, float] = field(default_factory=dict)

    def __add__(self, other: Cost) -> Cost:
        return total((self, other))

    def times(self, count: float) -> Cost:
        """The cost of `count` executions."""
        return Cost(self.cycles * count, {cause: lost * count for cause, lost in self.stalls.items()})

    @staticmethod
    def stall(cause: Cause, cycles: float) -> Cost:
        """Cycles in which nothing issues."""
        return Cost(cycles, {cause: cycles}) if cycles else Cost()


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of all costs."""
    cycles = 0.0
    stalls: dict[Cause, float] = {}
    for cost in costs:
        cycles += cost.cycles
        for cause, lost in cost.stalls.items():
            stalls[cause] = stalls.get(cause, 0.0) + lost
    return Cost(cycles, stalls)
