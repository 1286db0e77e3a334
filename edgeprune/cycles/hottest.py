"""The instructions that take the most cycles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from edgeprune.cycles.instruction import Instruction
from edgeprune.cycles.model import CoreModel
from edgeprune.cycles.program import Code
from edgeprune.emulate.blocks import BlockCount, BlockCounts

__all__ = ["HotInstruction", "hottest_instructions"]


@dataclass(frozen=True)
class HotInstruction:
    """One instruction of the image with its share of the cycles, waiting for flash left out."""

    address: int
    function: str
    text: str
    executions: int
    cycles: float


def hottest_instructions(
    model: CoreModel, code: Code, blocks: BlockCounts, count: int
) -> tuple[HotInstruction, ...]:
    """The `count` instructions with the most cycles over the whole inference, most first."""
    cycles: defaultdict[int, float] = defaultdict(float)
    executions: defaultdict[int, int] = defaultdict(int)
    texts: dict[int, str] = {}
    for block in _merged(blocks):
        instructions = code.decode(block.address, block.size_bytes)
        for instruction, share in _shares(model, instructions, block):
            cycles[instruction.location] += share
            executions[instruction.location] += block.executions
            texts[instruction.location] = instruction.text
    ranked = sorted(cycles, key=lambda address: (-cycles[address], address))[:count]
    return tuple(
        HotInstruction(address, code.function(address), texts[address], executions[address], cycles[address])
        for address in ranked
    )


def _merged(blocks: BlockCounts) -> Iterator[BlockCount]:
    """Each block once, with its executions in all regions."""
    counts: defaultdict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for region in (blocks.run, *blocks.layers):
        for block in region.blocks:
            total = counts[block.address, block.size_bytes, block.instructions]
            total[0] += block.executions
            total[1] += block.taken
    for (address, size_bytes, instructions), (executions, taken) in counts.items():
        yield BlockCount(address, size_bytes, instructions, executions, taken)


def _shares(
    model: CoreModel, code: tuple[Instruction, ...], block: BlockCount
) -> Iterator[tuple[Instruction, float]]:
    """The block's cycles, shared out as straight code adds them up, instruction by instruction."""
    upto = [0.0, *(model.cost(code[: index + 1], 1, 0).cycles for index in range(len(code)))]
    added = [max(0.0, after - before) for before, after in pairwise(upto)]
    straight = upto[-1]
    whole = model.cost(code, block.executions, block.taken).cycles
    scale = min(whole, straight * block.executions) / max(straight, 1.0)
    # What exceeds straight code is the last branch's doing.
    rest = max(0.0, whole - straight * block.executions)
    for index, instruction in enumerate(code):
        yield instruction, added[index] * scale + (rest if index == len(code) - 1 else 0.0)
