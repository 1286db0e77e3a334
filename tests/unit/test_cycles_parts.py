"""What cycles are for: told apart in code given as halfwords, each beside its assembly in test_cycles_schedules."""

from __future__ import annotations

import pytest

from edgeprune.cycles import bound, core_models
from edgeprune.cycles.decode_thumb import decode_thumb
from edgeprune.cycles.parts import Bound, Part, cycle_parts
from edgeprune.cycles.program import Code
from edgeprune.emulate.blocks import BlockCount
from tests.unit.test_cycles_schedules import ADDS, BNE_WIDE, CMP, LDR, LDRD, SMLAD, STR, SXTB16

SMMLAR = "fb51 0012"  # smmlar r0, r1, r2, r0
SSAT = "f300 0007"  # ssat r0, #8, r0
M4 = core_models()["cortex-m4"]
START = 0x100


def parts_of(*blocks: tuple[tuple[str, ...], str], executions: int = 1) -> dict[Part, float]:
    """The parts of blocks, each of a function of the given name, executed so often and left behind their end."""
    data, counts, functions = b"", [], {}
    for words, function in blocks:
        block = b"".join(int(half, 16).to_bytes(2, "little") for word in words for half in word.split())
        functions.setdefault(function, START + len(data))
        counts.append(BlockCount(START + len(data), len(block), len(words), executions, 0))
        data += block
    code = Code(((START, data),), tuple(functions.values()), tuple(functions), decode_thumb)
    whole = sum(M4.cost(code.decode(one.address, one.size_bytes), one.executions, 0).cycles for one in counts)
    found = cycle_parts(M4, code, counts)
    assert sum(found.values()) == pytest.approx(whole)
    return {part: cycles for part, cycles in found.items() if cycles}


def test_a_loop_of_products() -> None:
    """LDRD takes 3 cycles, LDR 2 and the others one."""
    loop = (LDRD, LDR, SXTB16, SMLAD, SMLAD, CMP, BNE_WIDE)
    assert parts_of((loop, "multiply"), executions=10) == {
        Part.PRODUCTS: 20,
        Part.OPERANDS: 50,
        Part.LOOPS: 30,
    }


def test_requantisation_behind_the_last_product_of_a_block() -> None:
    found = parts_of(((LDR, SMLAD, ADDS, SMMLAR, SSAT, STR), "block"))
    assert found == {Part.PRODUCTS: 1, Part.OPERANDS: 2, Part.SCALING: 4}


def test_blocks_without_products() -> None:
    """Moving inputs in a function without products, the loop's own in one with products."""
    found = parts_of(((LDR, STR), "gather"), ((ADDS,), "gather"), ((LDR, CMP), "dot"), ((SMLAD,), "dot"))
    assert found == {Part.INPUTS: 3, Part.LOOPS: 4, Part.PRODUCTS: 1}
    assert parts_of(((LDR, SMMLAR, SSAT, STR), "scale")) == {Part.SCALING: 5}


def test_the_bound_is_the_largest_part_besides_the_products() -> None:
    parts = {"products": 60.0, "loading operands": 50.0, "data from flash": 40.0}
    assert bound(150, 100, parts) == Bound("loading operands", 1 / 3)


@pytest.mark.parametrize(("cycles", "macs"), [(110, 100), (150, 0)])
def test_what_needs_no_explanation(cycles: int, macs: int) -> None:
    assert bound(cycles, macs, {"products": 50.0, "loading operands": 60.0}) is None
