"""RV32IMAC code as `Instruction` values."""

from __future__ import annotations

from typing import Any

from capstone import CS_ARCH_RISCV, CS_MODE_RISCV32, CS_MODE_RISCVC, Cs
from capstone.riscv import RISCV_OP_IMM, RISCV_OP_MEM, RISCV_OP_REG, RISCV_REG_X0

from edgeprune.cycles.instruction import Form, Instruction, Kind

__all__ = ["decode_riscv"]

_LOADS = frozenset(("lb", "lh", "lw", "lbu", "lhu", "lwsp", "lr"))
_STORES = frozenset(("sb", "sh", "sw", "swsp", "sc"))
_PRODUCTS = frozenset(("mul", "mulh", "mulhu", "mulhsu"))
_QUOTIENTS = frozenset(("div", "divu", "rem", "remu"))
_CONDITIONAL = frozenset(
    ("beq", "bne", "blt", "bge", "bltu", "bgeu", "beqz", "bnez", "blez", "bgez", "bltz", "bgtz")
)
_JUMPS = frozenset(("j", "jal", "jr", "jalr", "ret", "tail", "call"))
_BARRIERS = frozenset(("fence", "fence.i"))
_WIDE = 0b11


def _decoder() -> Cs:
    decoder = Cs(CS_ARCH_RISCV, CS_MODE_RISCV32 | CS_MODE_RISCVC)
    decoder.detail = True
    return decoder


_DECODER = _decoder()


def decode_riscv(code: bytes, location: int) -> tuple[Instruction, ...]:
    """The instructions of a block at address `location`."""
    found: list[Instruction] = []
    at = 0
    while at < len(code):
        for raw in _DECODER.disasm(code[at:], location + at):
            found.append(_instruction(raw))
            at += raw.size
        if at < len(code):
            size = 4 if code[at] & _WIDE == _WIDE else 2
            text = f".insn 0x{code[at : at + size][::-1].hex()}"
            found.append(Instruction(location + at, size, "unknown", text, Kind.UNKNOWN))
            at += size
    return tuple(found)


def _instruction(raw: Any) -> Instruction:
    name = str(raw.mnemonic).removeprefix("c.").partition(".")[0]
    kind = _kind(name)
    registers = [o.reg for o in raw.operands if o.type == RISCV_OP_REG]
    memory = next((o.mem for o in raw.operands if o.type == RISCV_OP_MEM), None)
    addresses = {memory.base} if memory else set()
    writes_first = kind not in (Kind.STORE, Kind.BARRIER) and name not in _CONDITIONAL | {"j", "jr", "ret"}
    writes = set(registers[:1]) if writes_first else set()
    # A compressed instruction's first operand is also its first source.
    compressed = str(raw.mnemonic).startswith("c.")
    reads = set(registers if compressed or not writes_first else registers[1:]) | addresses
    form = _form(name, raw, registers)
    constant = [o.imm for o in raw.operands if o.type == RISCV_OP_IMM]
    relative = form in (Form.CONDITIONAL, Form.JUMP, Form.CALL) and constant
    return Instruction(
        location=raw.address,
        size=raw.size,
        name=name,
        text=f"{raw.mnemonic} {raw.op_str}".strip(),
        kind=kind,
        form=form,
        reads=frozenset(reads) - {RISCV_REG_X0},
        writes=frozenset(writes) - {RISCV_REG_X0},
        address=frozenset(addresses) - {RISCV_REG_X0},
        base=memory.base if memory else None,
        offset=memory.disp if memory else 0,
        transfers=1 if kind in (Kind.LOAD, Kind.STORE) else 0,
        access_bytes=_access_bytes(name) if kind in (Kind.LOAD, Kind.STORE) else 0,
        target=raw.address + constant[-1] if relative else None,
    )


def _kind(name: str) -> Kind:
    for names, kind in (
        (_LOADS, Kind.LOAD),
        (_STORES, Kind.STORE),
        (_PRODUCTS, Kind.MULTIPLY),
        (_QUOTIENTS, Kind.DIVIDE),
        (_CONDITIONAL | _JUMPS, Kind.BRANCH),
        (_BARRIERS, Kind.BARRIER),
    ):
        if name in names:
            return kind
    return Kind.ALU


def _form(name: str, raw: Any, registers: list[int]) -> Form:
    if name in _CONDITIONAL:
        return Form.CONDITIONAL
    if name == "jal":
        # `jal x0` is a plain jump; without a register operand the link register is meant.
        return Form.JUMP if registers[:1] == [RISCV_REG_X0] else Form.CALL
    if name in ("j", "tail", "call"):
        return Form.CALL if name == "call" else Form.JUMP
    return Form.INDIRECT if name in ("jr", "jalr", "ret") else Form.PLAIN


def _access_bytes(name: str) -> int:
    return 1 if name.startswith(("lb", "sb")) else 2 if name.startswith(("lh", "sh")) else 4
