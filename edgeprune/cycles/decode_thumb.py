"""Thumb code, the Helium extension's included, as `Instruction` values."""

from __future__ import annotations

from typing import Any

from capstone import CS_ARCH_ARM, CS_MODE_MCLASS, CS_MODE_THUMB, CS_MODE_V8, Cs, CsError
from capstone.arm import (
    ARM_CC_AL,
    ARM_CC_INVALID,
    ARM_OP_IMM,
    ARM_OP_MEM,
    ARM_OP_REG,
    ARM_REG_APSR,
    ARM_REG_APSR_NZCV,
    ARM_REG_CPSR,
    ARM_REG_FPSCR,
    ARM_REG_FPSCR_NZCV,
    ARM_REG_ITSTATE,
    ARM_REG_PC,
    ARM_REG_Q0,
    ARM_REG_Q15,
)

from edgeprune.cycles.instruction import Form, Instruction, Kind

__all__ = ["decode_thumb"]

_STATE = frozenset(
    (
        0,
        ARM_REG_PC,
        ARM_REG_CPSR,
        ARM_REG_APSR,
        ARM_REG_APSR_NZCV,
        ARM_REG_FPSCR,
        ARM_REG_FPSCR_NZCV,
        ARM_REG_ITSTATE,
    )
)
_DUAL = frozenset(("ldrd", "strd"))
_LISTS = ("ldm", "stm", "push", "pop", "vldm", "vstm", "vpush", "vpop")
_STACK = frozenset(("push", "pop", "vpush", "vpop"))
_LOADS = ("ldr", "ldm", "pop", "vldr", "vldm", "vpop")
_STORES = ("str", "stm", "push", "vstr", "vstm", "vpush")
_PRODUCTS = (
    "mul",
    "mla",
    "mls",
    "smla",
    "smul",
    "smua",
    "smus",
    "smml",
    "smmul",
    "smmls",
    "smls",
    "umul",
    "umla",
)
_LONG = ("smlal", "smlsld", "umlal", "umaal")
_COMPARISONS = frozenset(("cmp", "cmn", "tst", "teq"))
_BRANCHES = frozenset(("b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh"))
_WIDE_PREFIX = 0b11101

# Helium (Arm DDI 0553, chapter C2) lies in the coprocessor space. The decoder takes some of it for instructions of
# coprocessors, which the devices do not have, and some for Neon's, which are the same; the rest it does not know.
_COPROCESSOR = 0xEC00
_COPROCESSOR_MASK = 0xEC00
_COPROCESSOR_NAMES = ("cdp", "ldc", "stc", "mcr", "mrc", "mrrc")
_MEMORY, _MEMORY_MASK, _LOAD_BIT = 0xEC00, 0xEE00, 0x0010
# A base register and a vector of offsets; VLD2, VLD4 and their stores are told apart by the second halfword.
_GATHER, _GATHER_MASK, _STRUCTURES_BIT = 0xEC80, 0xEFA0, 0x1000
_VECTOR_WORDS, _VECTOR_BYTES = 4, 16
# VPST and VPT without comparison; low-overhead loops and VCTP, told apart by their second halfwords.
_PREDICATE, _PREDICATE_MASK, _PREDICATE_SECOND, _PREDICATE_SECOND_MASK = 0xFE31, 0xFFBF, 0x0F4D, 0x1FFF
_LOOP, _LOOP_MASK, _LOOP_END, _LOOP_END_MASK = 0xF000, 0xFF80, 0xF00F, 0xFFCF
_LOOP_SECOND, _LOOP_SECOND_MASK = 0xC001, 0xD001
_COUNT_SECOND = 0xE801


def _decoder() -> Cs:
    decoder = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS | CS_MODE_V8)
    decoder.detail = True
    return decoder


_DECODER = _decoder()


def decode_thumb(code: bytes, location: int) -> tuple[Instruction, ...]:
    """The instructions of a block at address `location`."""
    found: list[Instruction] = []
    at = 0
    while at < len(code):
        for raw in _DECODER.disasm(code[at:], location + at):
            found.append(_undecoded(bytes(raw.bytes), raw.address) if _is_helium(raw) else _instruction(raw))
            at += raw.size
        if at < len(code):
            size = 4 if code[at + 1] >> 3 >= _WIDE_PREFIX else 2
            found.append(_undecoded(code[at : at + size], location + at))
            at += size
    return tuple(found)


def _is_helium(raw: Any) -> bool:
    if raw.insn_name().startswith(_COPROCESSOR_NAMES):
        return True
    return any(o.type == ARM_OP_REG and ARM_REG_Q0 <= o.reg <= ARM_REG_Q15 for o in raw.operands)


def _undecoded(word: bytes, location: int) -> Instruction:
    """What can be said from the halfwords of an instruction that the decoder does not know."""
    first, second = int.from_bytes(word[:2], "little"), int.from_bytes(word[2:], "little")
    text = f".inst {word[1::-1].hex()}{word[:1:-1].hex()}"
    if first & _LOOP_MASK == _LOOP and second == _COUNT_SECOND:
        return Instruction(location, 4, "vctp", text, Kind.ALU)
    if first & _LOOP_MASK == _LOOP and second & _LOOP_SECOND_MASK == _LOOP_SECOND:
        ends = first & _LOOP_END_MASK == _LOOP_END
        return Instruction(location, 4, "le" if ends else "dls", text, Kind.BRANCH, Form.LOOP)
    if first & _PREDICATE_MASK == _PREDICATE and second & _PREDICATE_SECOND_MASK == _PREDICATE_SECOND:
        return Instruction(location, 4, "vpst", text, Kind.ALU)
    if len(word) == 4 and first & _COPROCESSOR_MASK == _COPROCESSOR:
        if first & _MEMORY_MASK == _MEMORY:
            kind = Kind.LOAD if first & _LOAD_BIT else Kind.STORE
            transfers, access_bytes = _vector_accesses(first, second)
            return Instruction(
                location, 4, "vector", text, kind, transfers=transfers, access_bytes=access_bytes
            )
        return Instruction(location, 4, "vector", text, Kind.VECTOR)
    return Instruction(location, len(word), "unknown", text, Kind.UNKNOWN)


def _vector_accesses(first: int, second: int) -> tuple[int, int]:
    """Accesses of a vector load or store, and bytes of each: words, or one for each lane of a gather or scatter."""
    if first & _GATHER_MASK != _GATHER or second & _STRUCTURES_BIT:
        return _VECTOR_WORDS, 4
    return _VECTOR_BYTES >> (second >> 7 & 3), 1 << (second >> 5 & 2 | second >> 4 & 1)


def _instruction(raw: Any) -> Instruction:
    name = raw.insn_name()
    form = _form(raw, name)
    reads, writes = _registers(raw, name)
    memory = next((o.mem for o in raw.operands if o.type == ARM_OP_MEM), None)
    address = frozenset((memory.base, memory.index)) - _STATE if memory else frozenset()
    kind = _kind(name)
    if memory is None and form in (Form.MULTIPLE, Form.RETURN) and name not in _STACK:
        address = frozenset((raw.operands[0].reg,)) - _STATE
    return Instruction(
        location=raw.address,
        size=raw.size,
        name=name,
        text=f"{raw.mnemonic} {raw.op_str}".strip(),
        kind=kind,
        form=form,
        reads=reads,
        writes=writes,
        address=address,
        base=memory.base if memory else None,
        indexed=memory is not None and memory.index != 0,
        offset=memory.disp if memory else 0,
        accumulator=_accumulator(raw, name),
        transfers=_transfers(raw, name) if kind in (Kind.LOAD, Kind.STORE) else 0,
        access_bytes=_access_bytes(name) if kind in (Kind.LOAD, Kind.STORE) else 0,
        shifted=any(o.type == ARM_OP_REG and o.shift.type != 0 for o in raw.operands),
        sets_flags=bool(raw.update_flags) or name in _COMPARISONS,
        target=raw.operands[-1].imm if name in _BRANCHES and raw.operands[-1].type == ARM_OP_IMM else None,
    )


def _kind(name: str) -> Kind:
    if name.startswith(_LOADS):
        return Kind.LOAD
    if name.startswith(_STORES):
        return Kind.STORE
    if name in _BRANCHES:
        return Kind.BRANCH
    if name in ("sdiv", "udiv"):
        return Kind.DIVIDE
    if name.startswith("v"):
        return Kind.FLOAT
    if name.startswith(_PRODUCTS) or name in _LONG:
        return Kind.MULTIPLY
    if name.startswith("it") and set(name[1:]) <= {"t", "e"}:
        return Kind.PREDICATE
    return Kind.BARRIER if name in ("dmb", "dsb", "isb") else Kind.ALU


def _form(raw: Any, name: str) -> Form:
    if name in _DUAL:
        return Form.DUAL
    to_pc = any(o.type == ARM_OP_REG and o.reg == ARM_REG_PC for o in raw.operands)
    if name.startswith(_LOADS) and to_pc:
        return Form.RETURN
    if name.startswith(_LISTS):
        return Form.MULTIPLE
    if name in ("cbz", "cbnz"):
        return Form.CONDITIONAL
    if name in ("tbb", "tbh"):
        return Form.TABLE
    if name == "bl":
        return Form.CALL
    if name in ("bx", "blx") or (name == "mov" and raw.operands[0].reg == ARM_REG_PC):
        return Form.INDIRECT
    if name == "b":
        return Form.JUMP if raw.cc in (ARM_CC_AL, ARM_CC_INVALID) else Form.CONDITIONAL
    return Form.PLAIN


def _registers(raw: Any, name: str) -> tuple[frozenset[int], frozenset[int]]:
    """Registers read and written; the decoder leaves some operands of products and extensions out."""
    try:
        reads, writes = (set(registers) for registers in raw.regs_access())
    except CsError:
        reads, writes = set(), set()
    operands = [o.reg for o in raw.operands if o.type == ARM_OP_REG]
    if name in _LONG:
        reads.update(operands)
    elif name.startswith(_PRODUCTS) or name.startswith(("uxta", "sxta", "pkh")):
        reads.update(operands[2 if name in ("umull", "smull") else 1 :])
    return frozenset(reads) - _STATE, frozenset(writes) - _STATE


def _accumulator(raw: Any, name: str) -> int | None:
    if name in _LONG or not name.startswith(("mla", "mls", "smla", "smml")) or len(raw.operands) < 4:
        return None
    return int(raw.operands[-1].reg)


def _transfers(raw: Any, name: str) -> int:
    if name.startswith(_LISTS):
        return len(raw.operands) - (0 if name in _STACK else 1)
    return 2 if name in _DUAL else 1


def _access_bytes(name: str) -> int:
    if name.startswith("v") or name in _DUAL or name.startswith(_LISTS):
        return 4
    return 1 if name.endswith("b") else 2 if name.endswith("h") else 4
