"""What the cycles of a layer are for: products, their operands, loops, requantisation, moving inputs, memories.

Code is told apart by its instructions, block by block, so that any kernel's can be, also one that is not known here:

* Where products are accumulated, instructions up to the last product are the products, their loads (with what loads
  wait for), and what else the loop takes: unpacking, counting, branching. What follows in the block is requantisation
  if it scales a sum, as the fully unrolled end of a block of convolutions does.
* A block without products that multiplies to a high word or saturates is requantisation; a Winograd layer's, in which
  that is interleaved with the transform of its sums, is both.
* Other blocks belong to the loops in a function that mostly multiplies; elsewhere they lay inputs out if they load or
  store, and control what runs if not. A multiplication here and there is an address, not a product.

Cycles in which instructions issue are shared out evenly among those of a stretch, which is exact where one issues at a
time. Helium's instructions are not told apart: they all count as products.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from edgeprune.cycles.cost import Cause, Cost
from edgeprune.cycles.instruction import Instruction, Kind
from edgeprune.cycles.model import CoreModel
from edgeprune.cycles.program import Code
from edgeprune.emulate.blocks import BlockCount

__all__ = ["EXPLAINED_CYCLES_PER_MAC", "Bound", "Part", "bound", "cycle_parts"]

EXPLAINED_CYCLES_PER_MAC = 1.1
"""A layer that takes more for a multiply-accumulate is worth a word on why."""

_SCALING = ("smmla", "smmls", "smmul", "smull", "umull", "mulh", "ssat", "usat")
"""Beginnings of what multiplies to a high word, or saturates."""
_LEAST_PRODUCTS = 0.04
"""Of the instructions of a function that multiplies inputs with weights."""
_OF_LOADS = (Cause.LOAD, Cause.TRANSFERS, Cause.ADDRESS)


class Part(Enum):
    """What cycles are for."""

    PRODUCTS = "products"
    OPERANDS = "loading operands"
    LOOPS = "unpacking and loops"
    SCALING = "requantisation"
    INPUTS = "laying out inputs"
    FLASH_CODE = "code from flash"
    FLASH_DATA = "data from flash"
    RAM = "slow RAM"


@dataclass(frozen=True)
class Bound:
    """The part besides the products that takes most of a layer's cycles, and its share of them."""

    part: str
    share: float


def bound(cycles: float, macs: int, parts: Mapping[str, float]) -> Bound | None:
    """What holds a layer above `EXPLAINED_CYCLES_PER_MAC`; None for one that is not, or has no products.

    `parts` maps values of `Part` to cycles.
    """
    rest = {part: taken for part, taken in parts.items() if part != Part.PRODUCTS.value}
    if not macs or not rest or cycles <= EXPLAINED_CYCLES_PER_MAC * macs:
        return None
    most = max(rest, key=lambda part: rest[part])
    return Bound(most, rest[most] / cycles)


def cycle_parts(model: CoreModel, code: Code, blocks: Iterable[BlockCount]) -> dict[Part, float]:
    """The cycles of `blocks` by what they are for, waiting for flash left out."""
    decoded = [(block, code.decode(block.address, block.size_bytes)) for block in blocks]
    multiplying = _multiplying(code, decoded)
    found: dict[Part, float] = {}
    for block, instructions in decoded:
        of_products = code.function(block.address) in multiplying
        for part, cycles in _block_parts(model, block, instructions, of_products=of_products).items():
            found[part] = found.get(part, 0.0) + cycles
    return found


def _multiplying(code: Code, decoded: Iterable[tuple[BlockCount, tuple[Instruction, ...]]]) -> set[str]:
    """Functions of whose executed instructions a notable part are products."""
    products: Counter[str] = Counter()
    executed: Counter[str] = Counter()
    for block, instructions in decoded:
        name = code.function(block.address)
        products[name] += block.executions * sum(map(_is_product, instructions))
        executed[name] += block.executions * len(instructions)
    return {name for name, count in products.items() if count >= _LEAST_PRODUCTS * executed[name]}


def _block_parts(
    model: CoreModel, block: BlockCount, code: tuple[Instruction, ...], *, of_products: bool
) -> dict[Part, float]:
    whole = model.cost(code, block.executions, block.taken)
    last = max((index for index, instruction in enumerate(code) if _is_product(instruction)), default=-1)
    if last < 0 or not of_products:
        return {_without_products(code, of_products=of_products): whole.cycles}
    if not any(map(_scales, code[last + 1 :])):
        return _of_products(code, whole, block.executions)
    straight = model.cost(code[: last + 1], block.executions, 0)
    parts = _of_products(code[: last + 1], straight, block.executions)
    parts[Part.SCALING] = max(0.0, whole.cycles - straight.cycles)
    return parts


def _of_products(code: tuple[Instruction, ...], cost: Cost, executions: int) -> dict[Part, float]:
    """Of instructions that go with products: those, their loads, and the rest."""
    stalled = sum(cost.stalls.values())
    issuing = max(0.0, cost.cycles - stalled) / (len(code) * executions)
    products = issuing * executions * sum(map(_is_product, code))
    products += sum(cost.stalls.get(cause, 0.0) for cause in (Cause.MULTIPLY, Cause.VECTOR))
    loads = issuing * executions * sum(instruction.kind is Kind.LOAD for instruction in code)
    loads += sum(cost.stalls.get(cause, 0.0) for cause in _OF_LOADS)
    return {Part.PRODUCTS: products, Part.OPERANDS: loads, Part.LOOPS: cost.cycles - products - loads}


def _without_products(code: tuple[Instruction, ...], *, of_products: bool) -> Part:
    if any(map(_scales, code)):
        return Part.SCALING
    moves = any(instruction.kind in (Kind.LOAD, Kind.STORE) for instruction in code)
    return Part.LOOPS if of_products or not moves else Part.INPUTS


def _is_product(instruction: Instruction) -> bool:
    return instruction.kind is Kind.VECTOR or (
        instruction.kind is Kind.MULTIPLY and not instruction.name.startswith(_SCALING)
    )


def _scales(instruction: Instruction) -> bool:
    return instruction.name.startswith(_SCALING)
