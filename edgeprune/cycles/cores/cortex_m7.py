"""Cortex-M7: two instructions per cycle, in order, by a static schedule of each block."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.cycles.cores._pipeline import Block, Scheduled, Stalls
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.instruction import Form, Instruction, Kind
from edgeprune.cycles.model import Validation

__all__ = ["MODEL"]


@dataclass(frozen=True)
class Timing:
    """Cycles; an early operand (an address, a shifter's, a product's out of memory) is needed one cycle sooner."""

    load_latency: int = 1
    narrow_load_latency: int = 2
    product_latency: int = 2
    float_latency: int = 3
    divide: int = 6
    divide_latency: int = 2
    early: int = 1
    mispredicted: int = 8


_BITFIELDS = (
    *(
        "uxt",
        "sxt",
        "ubfx",
        "sbfx",
        "bfi",
        "bfc",
        "rev",
        "rbit",
        "clz",
        "ssat",
        "usat",
        "pkh",
        "qadd",
        "qsub",
        "sel",
    ),
    *("qdadd", "qdsub", "sadd", "ssub", "uadd", "usub", "shadd", "shsub", "uhadd", "uhsub", "uqadd", "uqsub"),
)
_THROUGH_SHIFTER = ("ubfx", "sbfx", "rbit", "rev", "bfi", "bfc", "pkh", "uxta", "sxta")


def _bitfield(instruction: Instruction) -> bool:
    """Whether it belongs to the bitfield and SIMD instructions, which one of the two pipelines executes."""
    return instruction.kind is Kind.ALU and instruction.name.startswith(_BITFIELDS)


def _shifts(instruction: Instruction) -> bool:
    """Whether operands pass the shifter before they are used."""
    return instruction.shifted or instruction.name.startswith(_THROUGH_SHIFTER)


def _alone(instruction: Instruction) -> bool:
    return instruction.form in (Form.DUAL, Form.MULTIPLE, Form.RETURN) or instruction.kind is Kind.DIVIDE


def _pair(older: Instruction, younger: Instruction) -> bool:
    """Whether two instructions can issue in one cycle, their operands being ready."""
    if _alone(older) or _alone(younger):
        return False
    kinds = {older.kind, younger.kind}
    if kinds <= {Kind.MULTIPLY, Kind.STORE}:
        return False
    if kinds == {Kind.LOAD}:
        return _different_banks(older, younger)
    if len(kinds) == 1 and older.kind in (Kind.BRANCH, Kind.FLOAT):
        return False
    return not (_bitfield(older) and _bitfield(younger)) and not (_shifts(older) and _shifts(younger))


def _different_banks(older: Instruction, younger: Instruction) -> bool:
    """Two loads of a cycle need an even and an odd word; what is unknown is taken to differ."""
    if older.base != younger.base or older.indexed or younger.indexed:
        return True
    return bool((older.offset ^ younger.offset) & 4)


class _Run:
    """One pass over straight code; branches inside it are predicted (a loop's rounds)."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.time = 0
        self.issued: list[Instruction] = []
        self.ready: dict[int, int] = {}
        self.early: dict[int, int] = {}
        self.from_memory: set[int] = set()
        self.stalls = Stalls()

    def block(self, code: tuple[Instruction, ...]) -> Block:
        for instruction in code:
            if instruction.kind is not Kind.PREDICATE:
                self._wait(instruction)
                self._issue(instruction)
        cost = self.stalls.cost(self.time + 1)
        return Block(cost, cost)

    def _wait(self, instruction: Instruction) -> None:
        start, cause = self.time, Cause.OPERAND
        for register in instruction.reads:
            at = self._needed_at(instruction, register)
            if at > start:
                start, cause = at, Cause.ADDRESS if register in instruction.address else Cause.OPERAND
        if start > self.time:
            self.stalls.add(cause, start - self.time - (1 if self.issued else 0))
            self.time, self.issued = start, []

    def _needed_at(self, instruction: Instruction, register: int) -> int:
        ready, early = self.ready.get(register, 0), self.early.get(register, 0)
        if register in instruction.address:
            return early
        if instruction.kind is Kind.STORE or register == instruction.accumulator:
            return ready - 1
        if _shifts(instruction) or (instruction.kind is Kind.MULTIPLY and register in self.from_memory):
            return early
        return ready

    def _issue(self, instruction: Instruction) -> None:
        if self.issued and (len(self.issued) == 2 or not _pair(self.issued[0], instruction)):
            self.time, self.issued = self.time + 1, []
        self.issued.append(instruction)
        duration, cause = self._duration(instruction)
        self._results(instruction, self.time + duration - 1)
        if duration > 1:
            self.stalls.add(cause, duration - 1)
            self.time, self.issued = self.time + duration - 1, [instruction]

    def _duration(self, instruction: Instruction) -> tuple[int, Cause]:
        if instruction.kind is Kind.DIVIDE:
            return self.timing.divide, Cause.DIVIDE
        return max(1, (instruction.transfers + 1) // 2), Cause.TRANSFERS

    def _results(self, instruction: Instruction, last: int) -> None:
        latency, early = self._latency(instruction)
        loads = instruction.kind is Kind.LOAD
        loaded = (instruction.writes - instruction.address or instruction.writes) if loads else frozenset()
        for register in instruction.writes:
            updated = instruction.kind in (Kind.LOAD, Kind.STORE) and register not in loaded
            self.ready[register] = last + (1 if updated else latency)
            self.early[register] = last + (1 if updated else early)
        self.from_memory -= instruction.writes
        self.from_memory |= loaded

    def _latency(self, instruction: Instruction) -> tuple[int, int]:
        """Cycles until a result is ready, and until it is ready as an early operand."""
        timing = self.timing
        if instruction.kind is Kind.LOAD:
            latency = timing.load_latency if instruction.access_bytes >= 4 else timing.narrow_load_latency
        elif instruction.kind is Kind.MULTIPLY:
            latency = timing.product_latency
        elif instruction.kind is Kind.DIVIDE:
            latency = timing.divide_latency
        elif instruction.kind is Kind.FLOAT:
            return timing.float_latency, timing.float_latency
        elif _bitfield(instruction) or instruction.shifted:
            latency = 1
        else:
            return 1, 1
        return latency, latency + timing.early


TIMING = Timing()


def _run(code: tuple[Instruction, ...]) -> Block:
    return _Run(TIMING).block(code)


MODEL = Scheduled(
    cores=("cortex-m7",),
    name="Cortex-M7 dual-issue schedule",
    source="published micro-benchmarks on the STM32H730",
    run=_run,
    macs_per_cycle=2.0,
    mispredicted=TIMING.mispredicted,
    validation=Validation(15, 3.4, 6.3, "STM32H7A3 and STM32F746"),
)
