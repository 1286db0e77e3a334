"""The schedule of in-order cores that fold 16-bit branches: Cortex-M33, and with other figures Cortex-M55."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.cycles.cores._pipeline import Block, Stalls
from edgeprune.cycles.cost import Cause, Cost
from edgeprune.cycles.instruction import Form, Instruction, Kind

__all__ = ["Run", "Timing"]


@dataclass(frozen=True)
class Timing:
    """Cycles; latencies count from an instruction's last cycle to the first in which its result can be used."""

    load_latency: int = 2
    product_latency: int = 2
    shifted_latency: int = 2
    float_product_latency: int = 3
    divide: int = 6
    narrow_multiply: int = 2
    folded_branch_behind_flags: int = 2
    folded_branch: int = 1
    branch: int = 2
    indirect_branch: int = 3
    return_extra: int = 2
    loop_branch: int = 1


_FLOAT_PRODUCTS = ("vfma", "vmla", "vfms", "vmls")


class Run:
    """One pass over straight code, branches inside it taken (a loop's rounds)."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.time = 0
        self.ready: dict[int, int] = {}
        self.stalls = Stalls()
        self.previous: Instruction | None = None
        self.folded = False

    def block(self, code: tuple[Instruction, ...]) -> Block:
        """Schedules `code`, which must hold at least one instruction."""
        for index, instruction in enumerate(code):
            if instruction.kind is Kind.PREDICATE:
                self.previous = instruction
                continue
            self._wait(instruction)
            if instruction.kind is Kind.BRANCH:
                block = self._branch(instruction)
                if index == len(code) - 1:
                    return block
                self.time = int(block.taken.cycles)
                self.stalls.lost = dict(block.taken.stalls)
            else:
                self._execute(instruction)
        done = self.stalls.cost(self.time)
        extra = self.timing.return_extra if code[-1].form is Form.RETURN else 0
        return Block(done, done + Cost.stall(Cause.BRANCH, extra))

    def _wait(self, instruction: Instruction) -> None:
        start, cause = self.time, Cause.OPERAND
        for register in instruction.reads:
            at = self.ready.get(register, 0)
            stored = instruction.kind is Kind.STORE and register not in instruction.address
            if register == instruction.accumulator or stored:
                at -= 1
            if at > start:
                start, cause = at, Cause.ADDRESS if register in instruction.address else Cause.OPERAND
        self.stalls.add(cause, start - self.time)
        self.time = start

    def _branch(self, instruction: Instruction) -> Block:
        timing, before = self.timing, self.previous
        folds = instruction.size == 2 and before is not None and before.size == 2 and not self.folded
        if instruction.form is Form.LOOP:
            again = timing.loop_branch if instruction.name == "le" else 1
            return Block(self.stalls.cost(self.time + 1), self.stalls.cost(self.time + again))
        if instruction.form in (Form.INDIRECT, Form.TABLE):
            taken = timing.indirect_branch
        elif folds and before is not None:
            taken = timing.folded_branch_behind_flags if before.sets_flags else timing.folded_branch
        else:
            taken = timing.branch
        self.folded, self.previous = folds, instruction
        own = 0 if folds else 1
        done = self.stalls.cost(self.time)
        return Block(done + Cost(own), done + Cost(own) + Cost.stall(Cause.BRANCH, taken - own))

    def _execute(self, instruction: Instruction) -> None:
        duration, cause = self.duration(instruction)
        latency = self._latency(instruction)
        last = self.time + duration - 1
        for register in instruction.writes:
            self.ready[register] = last + (1 if register in instruction.address else latency)
        if instruction.kind is Kind.LOAD:
            loaded = instruction.writes - instruction.address or instruction.writes
            self.ready.update(dict.fromkeys(loaded, last + latency))
        self.stalls.add(cause, duration - 1)
        self.time += duration
        self.previous, self.folded = instruction, False

    def duration(self, instruction: Instruction) -> tuple[int, Cause]:
        """Cycles that an instruction occupies the pipeline, and why if they are several."""
        if instruction.kind in (Kind.LOAD, Kind.STORE):
            return max(1, instruction.transfers), Cause.TRANSFERS
        if instruction.kind is Kind.DIVIDE:
            return self.timing.divide, Cause.DIVIDE
        if instruction.name == "mul" and instruction.size == 2:
            return self.timing.narrow_multiply, Cause.MULTIPLY
        return 1, Cause.OPERAND

    def _latency(self, instruction: Instruction) -> int:
        if instruction.kind is Kind.LOAD:
            return self.timing.load_latency
        if instruction.kind is Kind.MULTIPLY:
            return self.timing.product_latency
        if instruction.shifted or instruction.name.startswith(("uxta", "sxta")):
            return self.timing.shifted_latency
        if instruction.name.startswith(_FLOAT_PRODUCTS):
            return self.timing.float_product_latency
        return 1
