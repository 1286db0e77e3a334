"""Cycles of short instruction sequences by the published rules of each core.

The code is given as halfwords, so that no assembler is needed; each stands beside its assembly.
"""

from __future__ import annotations

import pytest

from edgeprune.cycles import core_models
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.decode_riscv import decode_riscv
from edgeprune.cycles.decode_thumb import decode_thumb
from edgeprune.cycles.instruction import Form, Kind

ADDS = "1840"  # adds r0, r0, r1
ADDS_2 = "189b"  # adds r3, r3, r2
LDR = "6808"  # ldr r0, [r1]
LDR_4 = "684a"  # ldr r2, [r1, #4]
LDR_8 = "688a"  # ldr r2, [r1, #8]
LDR_INDEXED = "5888"  # ldr r0, [r1, r2]
LDR_ON_LOADED = "6802"  # ldr r2, [r0]
LDRB = "7808"  # ldrb r0, [r1]
STR = "6008"  # str r0, [r1]
STR_INDEXED = "5088"  # str r0, [r1, r2]
LDRD = "e9d1 2302"  # ldrd r2, r3, [r1, #8]
LDM = "c90d"  # ldmia r1!, {r0, r2, r3}
PUSH = "b530"  # push {r4, r5, lr}
POP = "bd30"  # pop {r4, r5, pc}
SMLAD = "fb21 0002"  # smlad r0, r1, r2, r0
SMLAD_CHAIN = "fb23 0004"  # smlad r0, r3, r4, r0
MULS = "4348"  # muls r0, r1, r0
MLA = "fb01 0002"  # mla r0, r1, r2, r0
SMULL = "fb82 0103"  # smull r0, r1, r2, r3
UDIV = "fbb1 f0f2"  # udiv r0, r1, r2
SHIFTED = "eb03 03c0"  # add.w r3, r3, r0, lsl #3
UXTB16 = "fa3f f081"  # uxtb16 r0, r1
SXTB16 = "fa2f f281"  # sxtb16 r2, r1
VFMA = "eea0 0a81"  # vfma.f32 s0, s1, s2
VDIV = "ee80 0a81"  # vdiv.f32 s0, s1, s2
CMP = "2a00"  # cmp r2, #0
BEQ = "d000"  # beq, forwards
B = "e000"  # b
BL = "f000 f800"  # bl
BX_LR = "4770"  # bx lr
BNE_WIDE = "f47f af00"  # bne.w, backwards
VLDRW = "ed90 1f00"  # vldrw.u32 q0, [r0]
VMLADAV = "eef0 0e07"  # vmladav, whichever operands

Code = tuple[str, ...]


def code(core: str, words: Code, location: int = 0x100):
    data = b"".join(int(half, 16).to_bytes(2, "little") for word in words for half in word.split())
    return (decode_riscv if core.startswith("rv") else decode_thumb)(data, location)


def cycles(core: str, *words: str, taken: int = 0) -> float:
    return core_models()[core].cost(code(core, words), 1, taken).cycles


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((ADDS,), 1),
        ((SMLAD,), 1),
        ((SMULL,), 1),
        ((LDR,), 2),
        ((LDR, LDR_4), 3),  # N loads in a row take N + 1
        ((LDR, LDR_ON_LOADED), 4),  # unless one's address is what the other loads
        ((LDR, STR), 3),
        ((STR,), 1),
        ((STR_INDEXED,), 2),
        ((LDRD,), 3),
        ((LDM,), 4),
        ((PUSH,), 4),
        ((ADDS, LDR_ON_LOADED), 4),  # an address out of the instruction before
        ((UDIV,), 6),
        ((VFMA,), 3),
        ((VDIV,), 14),
        ((B,), 3),
        ((BL,), 3),
        ((BX_LR,), 4),
        ((POP,), 7),
    ],
)
def test_cortex_m4(words: Code, expected: float) -> None:
    assert cycles("cortex-m4", *words) == expected


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m3", "cortex-m0plus", "cortex-m33"])
def test_a_branch_costs_more_where_it_is_taken(core: str) -> None:
    assert cycles(core, CMP, BEQ, taken=1) > cycles(core, CMP, BEQ)


@pytest.mark.parametrize(
    ("words", "expected"), [((MULS,), 1), ((MLA,), 2), ((SMULL,), 4), ((LDR, LDR_4), 3), ((B,), 3)]
)
def test_cortex_m3(words: Code, expected: float) -> None:
    assert cycles("cortex-m3", *words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((ADDS,), 1),
        ((MULS,), 1),
        ((LDR, LDR_4), 4),
        ((STR,), 2),
        ((LDM,), 4),
        ((PUSH,), 4),
        ((POP,), 6),
        ((B,), 2),
        ((BL,), 3),
        ((BX_LR,), 2),
    ],
)
def test_cortex_m0plus(words: Code, expected: float) -> None:
    assert cycles("cortex-m0plus", *words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((ADDS, ADDS), 2),
        ((LDR, ADDS), 3),  # a loaded operand waits one cycle
        ((LDR, ADDS_2, ADDS), 3),
        ((LDR, STR), 2),  # what is stored is needed later
        ((SMLAD, SMLAD_CHAIN), 2),  # accumulators are forwarded
        ((SMLAD, ADDS), 3),
        ((LDRD,), 2),
        ((LDM,), 3),
        ((MULS,), 2),
        ((UDIV,), 6),
        ((BX_LR,), 3),
    ],
)
def test_cortex_m33(words: Code, expected: float) -> None:
    assert cycles("cortex-m33", *words) == expected


@pytest.mark.parametrize(
    ("words", "taken", "expected"),
    [
        ((STR, BEQ), 0, 1),  # folded into a 16-bit instruction
        ((STR, BEQ), 1, 2),
        ((CMP, BEQ), 1, 3),  # the same behind one that sets flags
        ((LDRD, BEQ), 0, 3),
        ((LDRD, BEQ), 1, 4),
        ((STR, BNE_WIDE), 0, 2),
        ((STR, BNE_WIDE), 1, 3),
    ],
)
def test_cortex_m33_branches(words: Code, taken: int, expected: float) -> None:
    assert cycles("cortex-m33", *words, taken=taken) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((ADDS, ADDS_2), 1),
        ((ADDS, ADDS), 2),  # the second needs the first's result
        ((LDR, LDR_4), 1),  # an even and an odd word
        ((LDR, LDR_8), 2),
        ((STR, STR), 2),
        ((SMLAD, SMLAD_CHAIN), 2),
        ((UXTB16, SXTB16), 2),
        ((LDR, ADDS), 2),
        ((LDRB, ADDS), 3),
        ((LDR, SHIFTED), 3),  # an operand of the shifter is needed early
        ((LDR, SMLAD), 1),  # an accumulator late
        ((LDRD, ADDS), 2),
        ((LDM,), 2),
        ((PUSH, ADDS), 3),
    ],
)
def test_cortex_m7(words: Code, expected: float) -> None:
    assert cycles("cortex-m7", *words) == expected


def test_cortex_m7_mispredicts_the_rarer_way() -> None:
    model = core_models()["cortex-m7"]
    block = code("cortex-m7", (CMP, BEQ))
    never, half, always = (model.cost(block, 100, taken) for taken in (0, 50, 100))
    assert never.cycles == always.cycles
    assert half.cycles == never.cycles + 50 * 8
    assert half.stalls[Cause.BRANCH] == 400


def test_a_loop_costs_its_steady_state() -> None:
    loop = ("6808", "3901", "d1fc")  # ldr r0, [r1]; subs r1, #1; bne to the load
    block = code("cortex-m7", loop)
    assert block[-1].target == block[0].location
    # A predicted branch issues with the instruction it leads to: two rounds of three instructions in three cycles.
    assert core_models()["cortex-m7"].cost(block, 1000, 1000).cycles == 1500
    assert core_models()["cortex-m7"].cost(block, 1000, 0).cycles == 2000


def test_cortex_m55_overlaps_loads_and_products_of_vectors() -> None:
    assert cycles("cortex-m55", VLDRW) == 2
    assert cycles("cortex-m55", VMLADAV, VMLADAV) == 4
    assert cycles("cortex-m55", VLDRW, VMLADAV) == 3
    assert cycles("cortex-m55", MULS) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("0533 00b5",), 1),  # add a0, a0, a1
        (("a503 0005",), 1),  # lw a0, 0(a1)
        (("a503 0005", "0533 00b5"), 3),  # and its result at once
        (("0533 02b5",), 1),  # mul a0, a0, a1
        (("4533 02b5",), 18),  # div a0, a0, a1
        (("8082",), 2),  # ret
    ],
)
def test_rv32(words: Code, expected: float) -> None:
    assert cycles("rv32imc", *words) == expected


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize("words", [(LDR, ADDS, STR, CMP, BEQ), (LDM, UDIV, SHIFTED), (PUSH, SMLAD, POP)])
def test_cycles_are_executions_times_one_and_stalls_are_part_of_them(core: str, words: Code) -> None:
    model, block = core_models()[core], code(core, words)
    one, many = model.cost(block, 1, 0), model.cost(block, 7, 0)
    assert many.cycles == 7 * one.cycles
    assert 0 <= sum(one.stalls.values()) < one.cycles


def test_decoding_tells_what_timing_needs() -> None:
    ldrd, smlad, shifted, pop = code("cortex-m4", (LDRD, SMLAD, SHIFTED, POP))
    assert (ldrd.kind, ldrd.form, ldrd.transfers) == (Kind.LOAD, Form.DUAL, 2)
    assert smlad.accumulator in smlad.writes
    assert shifted.shifted and not smlad.shifted
    assert (pop.form, pop.transfers, pop.always_taken) == (Form.RETURN, 3, True)


def test_helium_is_told_apart_by_its_first_halfword() -> None:
    found = code("cortex-m55", (VLDRW, VMLADAV, ADDS))
    assert [instruction.kind for instruction in found] == [Kind.LOAD, Kind.VECTOR, Kind.ALU]
    assert [instruction.location for instruction in found] == [0x100, 0x104, 0x108]


HELIUM = {
    "ecb7 1e10": Kind.LOAD,  # vldrb.8 q0, [r7], #16, which looks like LDC
    "eca2 1e10": Kind.STORE,  # vstrb.8 q0, [r2], #16, which looks like STC
    "fcb0 1f61": Kind.LOAD,  # vld43.32 {q0, q1, q2, q3}, [r0]!
    "ee01 4e02": Kind.VECTOR,  # vmullb.s8 q2, q0, q1
    "ff20 0b48": Kind.VECTOR,  # vqrdmulh.s32 q0, q0, q4, which is Neon's
    "f003 e801": Kind.ALU,  # vctp.8 r3
    "fe31 8f4d": Kind.ALU,  # vpstt
}


def test_helium_that_looks_like_other_instructions() -> None:
    found = code("cortex-m55", tuple(HELIUM))
    assert [instruction.kind for instruction in found] == list(HELIUM.values())


def test_a_gather_or_scatter_takes_an_access_for_each_lane() -> None:
    lanes = {
        ("fc91 0e0a", 16, 1): 8,  # vldrb.u8 q0, [r1, q5]
        ("fc91 0e8a", 8, 1): 4,  # vldrb.u16 q0, [r1, q5]
        ("fc91 0e9b", 8, 2): 4,  # vldrh.u16 q0, [r1, q5, uxtw #1]
        ("fc91 0f4b", 4, 4): 2,  # vldrw.u32 q0, [r1, q5, uxtw #2]
        ("ec81 0e0a", 16, 1): 8,  # vstrb.8 q0, [r1, q5]
        ("fc90 1f01", 4, 4): 2,  # vld40.32 {q0, q1, q2, q3}, [r0], which is none
    }
    for (word, accesses, size), taken in lanes.items():
        (instruction,) = code("cortex-m55", (word,))
        assert (instruction.transfers, instruction.access_bytes) == (accesses, size)
        assert cycles("cortex-m55", word) == taken
        assert cycles("cortex-m55", VMLADAV, word) == taken + 1


def test_loops_begin_and_end() -> None:
    started, ended = code("cortex-m55", ("f00b e001", "f01f c005"))  # dlstp.8 lr, r11; letp lr, -8
    assert (started.name, ended.name) == ("dls", "le")
    assert started.form is ended.form is Form.LOOP
