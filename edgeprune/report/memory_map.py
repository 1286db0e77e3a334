"""Which buffer lives where in the arena at each step, from a report's `buffers` and `layers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

__all__ = ["Block", "Kind", "MemoryMap", "memory_maps"]

Kind = Literal["input", "output", "activation", "scratch", "persistent"]


@dataclass(frozen=True)
class Block:
    """A buffer: `size` bytes from `offset` on, from step `first` to step `last`, both included."""

    name: str
    kind: Kind
    tensors: tuple[str, ...]
    offset: int
    size: int
    first: int
    last: int

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        return self.offset + self.size


@dataclass(frozen=True, eq=False)
class MemoryMap:
    """One region of the arena over the steps of the library.

    Two blocks may share bytes at a step where an output overwrites an input that is not needed any more.
    """

    region: str
    steps: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def size_bytes(self) -> int:
        """The address behind the highest block."""
        return max((block.end for block in self.blocks), default=0)

    @cached_property
    def _alive(self) -> tuple[tuple[Block, ...], ...]:
        """Per step the blocks in use, by address."""
        steps: tuple[list[Block], ...] = tuple([] for _ in self.steps)
        for block in sorted(self.blocks, key=lambda one: (one.offset, one.end)):
            for step in range(block.first, block.last + 1):
                steps[step].append(block)
        return tuple(map(tuple, steps))

    def alive(self, step: int) -> tuple[Block, ...]:
        """The blocks in use at `step`, by address."""
        return self._alive[step]

    def owners(self, step: int, address: int) -> tuple[Block, ...]:
        """The blocks that the byte at `address` belongs to at `step`: none, one, or two that overlap."""
        return tuple(block for block in self.alive(step) if block.offset <= address < block.end)

    def used_bytes(self, step: int) -> int:
        """Bytes that some block occupies at `step`; those that two share count once."""
        used = reached = 0
        for block in self.alive(step):
            used += max(0, block.end - max(block.offset, reached))
            reached = max(reached, block.end)
        return used

    @cached_property
    def peak(self) -> int:
        """The step that uses most bytes, the first of several."""
        return max(range(len(self.steps)), key=lambda step: (self.used_bytes(step), -step), default=0)


def memory_maps(report: Mapping[str, Any]) -> tuple[MemoryMap, ...]:
    """One map for each region of memory that the library uses, in the report's order; none where nothing was built."""
    steps = tuple(layer["name"] for layer in report["layers"])
    regions: dict[str, list[Block]] = {}
    inputs, outputs = _names(report.get("inputs", ())), _names(report.get("outputs", ()))
    for buffer in report.get("buffers", ()) if steps else ():
        regions.setdefault(buffer["region"], []).append(_block(buffer, inputs, outputs))
    return tuple(MemoryMap(region, steps, tuple(blocks)) for region, blocks in regions.items())


def _names(ports: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(port["name"] for port in ports)


def _block(buffer: Mapping[str, Any], inputs: frozenset[str], outputs: frozenset[str]) -> Block:
    name, tensors = buffer["name"], tuple(buffer["tensors"])
    kind: Kind = "activation"
    if not tensors:
        kind = "persistent" if name.endswith(" persistent") else "scratch"
    elif outputs.intersection(tensors):
        kind = "output"
    elif inputs.intersection(tensors):
        kind = "input"
    return Block(
        name, kind, tensors, buffer["offset"], buffer["size"], buffer["first_step"], buffer["last_step"]
    )
