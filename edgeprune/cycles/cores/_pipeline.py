"""What the static schedules of the pipelined cores share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from edgeprune.cycles.cost import Cause, Cost
from edgeprune.cycles.instruction import Form, Instruction
from edgeprune.cycles.model import Validation

__all__ = ["Block", "Scheduled", "Stalls"]

_FEW, _MANY = 2, 6


@dataclass(frozen=True)
class Block:
    """The cost of one execution of a block, by what its last branch does."""

    not_taken: Cost
    taken: Cost

    def cost(self, executions: int, taken: int) -> Cost:
        """Of all executions."""
        return self.not_taken.times(executions - taken) + self.taken.times(taken)


class Stalls:
    """Adds up the cycles in which nothing issues, by cause."""

    def __init__(self) -> None:
        self.lost: dict[Cause, float] = {}

    def add(self, cause: Cause, cycles: float) -> None:
        """Notes `cycles` lost to `cause`."""
        if cycles > 0:
            self.lost[cause] = self.lost.get(cause, 0.0) + cycles

    def cost(self, cycles: float) -> Cost:
        """The cost of a run that took `cycles`."""
        return Cost(cycles, dict(self.lost))


@dataclass(frozen=True)
class Scheduled:
    """A `CoreModel` that schedules each block statically.

    `run` schedules straight code from an empty pipeline; `mispredicted` is what a mispredicted branch costs, a
    conditional branch's rarer way being mispredicted each time.
    """

    cores: tuple[str, ...]
    name: str
    source: str
    run: Callable[[tuple[Instruction, ...]], Block]
    macs_per_cycle: float
    mispredicted: float = 0.0
    validation: Validation | None = None
    float_validated: bool = False
    unaligned_cycles: float = 0.0
    flash_load_cycles: float = 0.0

    def cost(self, code: tuple[Instruction, ...], executions: int, taken: int) -> Cost:
        """See `CoreModel.cost`."""
        cost = _schedule(self.run, code).cost(executions, taken)
        if code[-1].form is Form.CONDITIONAL:
            cost += self.mispredictions(min(taken, executions - taken))
        return cost

    def mispredictions(self, count: float) -> Cost:
        """The cost of that many mispredicted branches."""
        return Cost.stall(Cause.BRANCH, self.mispredicted * count)


@lru_cache(maxsize=4096)
def _schedule(run: Callable[[tuple[Instruction, ...]], Block], code: tuple[Instruction, ...]) -> Block:
    """The costs of a block.

    A block whose branch leads back to its own start is a loop: taken, its cost is that of the steady state, which
    the difference between many rounds and few shows.
    """
    block = run(code)
    last = code[-1]
    if last.form is Form.CONDITIONAL and last.target == code[0].location:
        few, many = run(code * _FEW).taken, run(code * _MANY).taken
        return Block(block.not_taken, (many + few.times(-1)).times(1 / (_MANY - _FEW)))
    return Block(block.taken, block.taken) if last.always_taken else block
