"""Loops of a single block in an image's code: conditional branches back to where a straight line began.

Once such a block runs, it is left only to the address behind it, so that a counter per execution and a look at
that address tell how often its branch was taken. That makes the hottest blocks the cheapest to count.

An address range is a loop if instructions decoded one after the other from its beginning end with a conditional
branch to that beginning. Whatever else the bytes may be, an emulator that runs exactly this range as a block has
decoded the same, so a range found in data does no harm: it never runs.

An emulator cuts long code into several blocks. The pieces of a loop run in turn if nothing but the last instruction
leaves it: the loop is straight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from capstone import (
    CS_ARCH_ARM,
    CS_ARCH_RISCV,
    CS_GRP_BRANCH_RELATIVE,
    CS_GRP_CALL,
    CS_GRP_INT,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_GRP_RET,
    CS_MODE_MCLASS,
    CS_MODE_RISCV32,
    CS_MODE_RISCVC,
    CS_MODE_THUMB,
    CS_MODE_V8,
    Cs,
    CsInsn,
)
from capstone.arm import ARM_REG_PC
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

__all__ = ["Loop", "find_loops", "is_straight", "loops_in", "riscv_branch", "thumb_branch", "thumb_lengths"]

_Branch = Callable[[bytes, int], tuple[int, int] | None]
"""Given code and an index: the size and the offset of the conditional branch there, if there is one."""


@dataclass(frozen=True, order=True)
class Loop:
    """Addresses [low, high) of a loop; straight if its last instruction alone leaves it."""

    low: int
    high: int
    straight: bool


def find_loops(elf: Path) -> tuple[Loop, ...]:
    """Loops of a single block in the functions of an image; none begins where another ends."""
    with elf.open("rb") as file:
        image = ELFFile(file)
        machine = image["e_machine"]
        branch, length = _DECODERS.get(machine, (None, None))
        if branch is None or length is None:
            return ()
        table = image.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), "images are linked with their symbols"
        segments = [(s["p_vaddr"], s.data()) for s in image.iter_segments() if s["p_type"] == "PT_LOAD"]
        found: set[Loop] = set()
        for symbol in table.iter_symbols():
            low, size = symbol["st_value"] & ~1, symbol["st_size"]
            if symbol["st_info"]["type"] != "STT_FUNC":
                continue
            for start, data in segments:
                if start <= low and low + size <= start + len(data):
                    code = data[low - start : low - start + size]
                    for begin, end in loops_in(code, branch, length):
                        straight = is_straight(code[begin:end], machine)
                        found.add(Loop(low + begin, low + end, straight))
        ends = {loop.high for loop in found}
        return tuple(sorted(loop for loop in found if loop.low not in ends))


def is_straight(code: bytes, machine: str) -> bool:
    """Whether no instruction before the last one may go elsewhere than to the next.

    Code that the disassembler does not know (Helium's, mostly) counts as not straight.
    """
    decoder = Cs(*_DISASSEMBLERS[machine])
    decoder.detail = True
    instructions = list(decoder.disasm(code, 0))
    if sum(instruction.size for instruction in instructions) != len(code):
        return False
    return not any(_may_leave(instruction, machine) for instruction in instructions[:-1])


def _may_leave(instruction: CsInsn, machine: str) -> bool:
    if any(map(instruction.group, _LEAVING)):
        return True
    return machine == "EM_ARM" and ARM_REG_PC in instruction.regs_access()[1]


def loops_in(code: bytes, branch: _Branch, length: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """Index ranges of loops in one function's code."""
    for at in range(0, len(code) - 1, 2):
        found = branch(code, at)
        if found is None or not -at <= found[1] < 0:
            continue
        begin = here = at + found[1]
        while here < at:
            here += length(_halfword(code, here))
        if here == at:
            yield begin, at + found[0]


def thumb_lengths(code: bytes) -> list[int]:
    """Bytes of each Thumb instruction: ARM DDI 0403E, A5.1."""
    lengths, at = [], 0
    while at < len(code):
        lengths.append(_thumb_length(_halfword(code, at)))
        at += lengths[-1]
    return lengths


def thumb_branch(code: bytes, at: int) -> tuple[int, int] | None:
    """B<c>, encodings T1 and T3, which cannot be in an IT block: ARM DDI 0403E, A7.7.12."""
    first = _halfword(code, at)
    if first >> 12 == 0b1101 and first >> 8 & 0xF < 14:
        return 2, 4 + _signed((first & 0xFF) << 1, 9)
    second = _halfword(code, at + 2)
    if first >> 11 == 0b11110 and second & 0xD000 == 0x8000 and first >> 6 & 0xE != 0xE:
        sign, j2, j1 = first >> 10 & 1, second >> 11 & 1, second >> 13 & 1
        offset = sign << 20 | j2 << 19 | j1 << 18 | (first & 0x3F) << 12 | (second & 0x7FF) << 1
        return 4, 4 + _signed(offset, 21)
    return None


def riscv_branch(code: bytes, at: int) -> tuple[int, int] | None:
    """Branches of RV32I and RV32C: RISC-V unprivileged specification 20191213, sections 2.5 and 16.4."""
    first = _halfword(code, at)
    if first & 0b11 == 0b01 and first >> 14 == 0b11:  # C.BEQZ, C.BNEZ
        offset = (first >> 12 & 1) << 8 | (first >> 5 & 0b11) << 6 | (first >> 2 & 1) << 5
        return 2, _signed(offset | (first >> 10 & 0b11) << 3 | (first >> 3 & 0b11) << 1, 9)
    word = first | _halfword(code, at + 2) << 16
    if word & 0x7F == 0b1100011 and at + 4 <= len(code):
        offset = (
            (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1
        )
        return 4, _signed(offset, 13)
    return None


def _thumb_length(halfword: int) -> int:
    return 4 if halfword >> 11 >= 0b11101 else 2


def _riscv_length(halfword: int) -> int:
    return 4 if halfword & 0b11 == 0b11 else 2


def _halfword(code: bytes, at: int) -> int:
    return int.from_bytes(code[at : at + 2], "little")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


_DECODERS: dict[str, tuple[_Branch, Callable[[int], int]]] = {
    "EM_ARM": (thumb_branch, _thumb_length),
    "EM_RISCV": (riscv_branch, _riscv_length),
}
_DISASSEMBLERS = {
    "EM_ARM": (CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS | CS_MODE_V8),
    "EM_RISCV": (CS_ARCH_RISCV, CS_MODE_RISCV32 | CS_MODE_RISCVC),
}
_LEAVING = (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, CS_GRP_INT, CS_GRP_IRET, CS_GRP_BRANCH_RELATIVE)
