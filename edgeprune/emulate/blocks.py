"""How often each block of code ran in one inference, layer by layer, as a value.

A block is a run of instructions that an emulator translates as one: it is entered at its first instruction only
and left after its last. Blocks may overlap: a branch into the middle of one starts another. Code that several
layers share has a block in the region of each, with that layer's executions.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BlockCount", "BlockCounts", "RegionCounts"]


@dataclass(frozen=True)
class BlockCount:
    """Executions of one block within one region.

    `taken` says how many of the executions went on somewhere else than at the address behind the block: for a
    block that ends in a conditional branch, how often it was taken; for one that ends in a call, a jump or a
    return, all of them; for one that merely ends, none.
    """

    address: int
    size_bytes: int
    instructions: int
    executions: int
    taken: int

    @property
    def end(self) -> int:
        """Address behind the last instruction."""
        return self.address + self.size_bytes


@dataclass(frozen=True)
class RegionCounts:
    """What ran between the entry of one layer's function and its return, the functions it calls included.

    `name` is the layer's C function, or that of `run`. Blocks that ran at least once, sorted by address.
    """

    name: str
    blocks: tuple[BlockCount, ...]

    @property
    def instructions(self) -> int:
        """Instructions executed; one whose condition fails (an IT block's) is executed like any other."""
        return sum(block.instructions * block.executions for block in self.blocks)


@dataclass(frozen=True)
class BlockCounts:
    """One inference, from the entry of `run` to its return.

    `run` holds what belongs to no layer: prologue, the calls of the layers, epilogue. `layers` follows the order
    of `Sources.layers`.
    """

    run: RegionCounts
    layers: tuple[RegionCounts, ...]

    @property
    def instructions(self) -> int:
        """Instructions of the whole inference."""
        return self.run.instructions + sum(layer.instructions for layer in self.layers)
