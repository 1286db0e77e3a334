"""Cores that issue one instruction at a time: cycles are instructions plus a charge per event.

An event is something an instruction does, or does after its predecessor, that costs more than its own cycle. A
core's published timing table becomes a mapping from events to charges. Because events can be counted in a block's
code as well as taken from a file of counted features, both estimates come from the one table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edgeprune.cycles.cost import Cause, Cost, total
from edgeprune.cycles.instruction import Form, Instruction, Kind

__all__ = ["Charge", "Event", "Timing", "branch_event", "straight_events"]


class Event(Enum):
    """What can cost a single-issue core more than one cycle."""

    LOAD = "a load that does not follow another one"
    PIPED_ACCESS = "a load or store behind a load whose result is not its address"
    STORE = "a store with a constant offset"
    INDEXED_STORE = "a store with a register offset"
    DUAL = "a transfer of two registers"
    TRANSFER = "a register of a multiple transfer"
    MULTIPLY = "a multiplication of 32 by 32 bits to 32"
    MULTIPLY_ADD = "a multiplication and addition, 32 bits"
    MULTIPLY_LONG = "a multiplication to 64 bits"
    DIVIDE = "an integer division"
    FLOAT_ADD = "a floating-point multiplication and addition"
    FLOAT_DIVIDE = "a floating-point division or square root"
    ADDRESS = "an address computed by the instruction before"
    LOAD_USE = "an operand loaded by the instruction before"
    UNALIGNED = "an access that is not aligned"
    TAKEN = "a taken branch to a constant address"
    CALL = "a call"
    INDIRECT = "a branch to an address in a register"
    RETURN = "a return that loads the program counter"
    TABLE = "a branch through a table"


@dataclass(frozen=True)
class Charge:
    """What an event adds to the instruction's own cycle."""

    cause: Cause
    cycles: float


@dataclass(frozen=True)
class Timing:
    """A single-issue core's timing table."""

    charges: Mapping[Event, Charge]

    def cost(self, instructions: float, events: Mapping[Event, float]) -> Cost:
        """Cycles without waiting for memory: one per instruction, and the charges of the events."""
        stalls = (
            Cost.stall(charge.cause, charge.cycles * events.get(event, 0))
            for event, charge in self.charges.items()
        )
        return total((Cost(float(instructions)), *stalls))


_FLAG_SETTERS = frozenset(("cmp", "cmn", "tst", "teq"))
_FLOAT_ADD = ("vmla", "vmls", "vfma", "vfms", "vnml", "vfnm")
_FLOAT_DIVIDE = ("vdiv", "vsqrt")


def straight_events(code: tuple[Instruction, ...]) -> Counter[Event]:
    """Events in a straight run of instructions, its last branch not counted."""
    events: Counter[Event] = Counter()
    previous: Instruction | None = None
    for instruction in code:
        if instruction.kind in (Kind.LOAD, Kind.STORE) or instruction.form is Form.RETURN:
            _memory_events(events, instruction, previous)
        elif instruction.kind is Kind.MULTIPLY:
            events[_multiplication(instruction)] += 1
        elif instruction.kind is Kind.DIVIDE:
            events[Event.DIVIDE] += 1
        elif instruction.name.startswith(_FLOAT_ADD):
            events[Event.FLOAT_ADD] += 1
        elif instruction.name.startswith(_FLOAT_DIVIDE):
            events[Event.FLOAT_DIVIDE] += 1
        if previous is not None and previous.kind is Kind.LOAD and previous.writes & _needed(instruction):
            events[Event.LOAD_USE] += 1
        previous = instruction
    return events


def _memory_events(events: Counter[Event], instruction: Instruction, previous: Instruction | None) -> None:
    if previous is not None and _computes(previous) and previous.writes & instruction.address:
        events[Event.ADDRESS] += 1
    if instruction.form is Form.DUAL:
        events[Event.DUAL] += 1
    elif instruction.form in (Form.MULTIPLE, Form.RETURN):
        events[Event.TRANSFER] += instruction.transfers
    elif previous is not None and _plain(previous) and not _feeds_address(previous, instruction):
        events[Event.PIPED_ACCESS] += 1
    elif instruction.kind is Kind.LOAD:
        events[Event.LOAD] += 1
    else:
        events[Event.INDEXED_STORE if instruction.indexed else Event.STORE] += 1


def _plain(instruction: Instruction) -> bool:
    return instruction.kind is Kind.LOAD and instruction.form is Form.PLAIN


def _feeds_address(load: Instruction, access: Instruction) -> bool:
    """Whether the access needs the loaded value for its address; a written-back base is ready in time."""
    loaded = load.writes - load.address
    return bool((loaded or load.writes) & access.address)


def _needed(instruction: Instruction) -> frozenset[int]:
    """Registers needed when the instruction starts: what a store stores is needed later."""
    return instruction.address if instruction.kind is Kind.STORE else instruction.reads


def _computes(instruction: Instruction) -> bool:
    """Whether the instruction is a data-processing one, whose result reaches an address one cycle late."""
    return (
        instruction.kind in (Kind.ALU, Kind.MULTIPLY, Kind.DIVIDE) and instruction.name not in _FLAG_SETTERS
    )


def _multiplication(instruction: Instruction) -> Event:
    if instruction.name in ("mul", "muls"):
        return Event.MULTIPLY
    if len(instruction.writes) > 1:
        return Event.MULTIPLY_LONG
    return Event.MULTIPLY_ADD


_BRANCH_EVENTS: Mapping[Form, Event] = {
    Form.CONDITIONAL: Event.TAKEN,
    Form.JUMP: Event.TAKEN,
    Form.LOOP: Event.TAKEN,
    Form.CALL: Event.CALL,
    Form.INDIRECT: Event.INDIRECT,
    Form.RETURN: Event.RETURN,
    Form.TABLE: Event.TABLE,
}


def branch_event(instruction: Instruction) -> Event | None:
    """The event of the branch that ends a block being taken; None if the block ends without one."""
    return _BRANCH_EVENTS[instruction.form] if instruction.branches else None
