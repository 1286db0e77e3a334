"""A decoded instruction, as far as timing depends on it, independent of the instruction set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Form", "Instruction", "Kind"]


class Kind(Enum):
    """What an instruction does, in the classes that the profile reports."""

    ALU = "alu"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    LOAD = "load"
    STORE = "store"
    BRANCH = "branch"
    FLOAT = "float"
    VECTOR = "vector"
    PREDICATE = "if-then"
    BARRIER = "barrier"
    UNKNOWN = "unknown"


class Form(Enum):
    """Finer than `Kind`: what a load, a store or a branch does that others of its kind do not."""

    PLAIN = "plain"
    DUAL = "two registers"
    MULTIPLE = "a list of registers"
    CONDITIONAL = "conditional branch"
    JUMP = "unconditional branch to a constant address"
    CALL = "call of a constant address"
    INDIRECT = "branch to an address in a register"
    RETURN = "return by loading the program counter"
    TABLE = "branch through a table"
    LOOP = "low-overhead loop"


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Registers are the decoder's numbers, valid for comparison alone; the program counter and the flags are not
    among them.

    Attributes:
        name: mnemonic without condition and width suffixes, lower case.
        text: as a disassembler prints it.
        reads: registers read; `writes`: registers written, a write-back's base included.
        address: base and index registers of the memory operand; `base` the base alone; `offset` the constant.
        accumulator: the register that a multiply-accumulate adds to, if it is a single one.
        transfers: registers moved between core and memory.
        access_bytes: bytes of one transfer.
        shifted: an operand goes through the barrel shifter before the operation.
        target: address of a branch to a constant address.
    """

    location: int
    size: int
    name: str
    text: str
    kind: Kind
    form: Form = Form.PLAIN
    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()
    address: frozenset[int] = frozenset()
    base: int | None = None
    indexed: bool = False
    offset: int = 0
    accumulator: int | None = None
    transfers: int = 0
    access_bytes: int = 0
    shifted: bool = False
    sets_flags: bool = False
    target: int | None = None

    @property
    def branches(self) -> bool:
        """Whether control leaves the straight line here, always or sometimes."""
        return self.form in _BRANCHES

    @property
    def always_taken(self) -> bool:
        """Whether control always leaves the straight line here."""
        return self.branches and self.form not in (Form.CONDITIONAL, Form.LOOP)


_BRANCHES = frozenset(
    (Form.CONDITIONAL, Form.JUMP, Form.CALL, Form.INDIRECT, Form.RETURN, Form.TABLE, Form.LOOP)
)
