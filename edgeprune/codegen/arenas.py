"""The memories that a library's arena lies in, and addresses in them as C expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.graph.ir import Tensor
from edgeprune.plan.program import Buffer, Program
from edgeprune.templating import c_identifier

__all__ = [
    "PERSISTENT",
    "Arena",
    "address",
    "arena_of",
    "arena_values",
    "arena_waits",
    "arenas",
    "in_arena",
    "layer_output",
    "unused_arenas",
]

PERSISTENT = "persistent"
"""What C calls the part of the arena that lasts between runs."""

_TAKEN = (PERSISTENT, "scratch")
"""Words that the header's macros have for something else."""


@dataclass(frozen=True)
class Arena:
    """A part of the arena: the memory it lies in, its word in C names, its pointer's name, first offset and bytes."""

    region: str
    word: str
    pointer: str
    start: int
    size_bytes: int

    @property
    def macro(self) -> str:
        """What stands for the memory in the names of macros."""
        return self.word.upper()


def arenas(program: Program) -> tuple[Arena, ...]:
    """The parts of the arena in order of their offsets; one named "arena" where it is whole."""
    found: list[Arena] = []
    start = 0
    for region, size_bytes in program.parts or (("ram", program.arena_bytes),):
        word = c_identifier(region, limit=24)
        if word.lower() in {*_TAKEN, *(one.word.lower() for one in found)}:
            word = f"{word}_{len(found)}"
        found.append(Arena(region, word, f"arena_{word}" if found else "arena", start, size_bytes))
        start += size_bytes
    return tuple(found)


def arena_waits(program: Program) -> tuple[int, ...]:
    """Cycles that an access to each part waits for its memory; a whole arena lies in the fastest there is."""
    waits = {memory.name: memory.wait_states for memory in program.device.memories}
    if not program.parts:
        return (program.device.data_memories[0].wait_states,)
    return tuple(waits.get(region, 0) for region, _ in program.parts)


def arena_of(parts: Sequence[Arena], offset: int) -> Arena:
    """The part that `offset` lies in; the last one for an offset behind all."""
    return next((part for part in reversed(parts) if part.start <= offset and part.size_bytes), parts[0])


def address(program: Program, buffer: Buffer) -> str:
    """The address of `buffer`, in C: in the part of the arena that lasts between runs, or in one that does not."""
    if buffer in program.lasting:
        return f"{PERSISTENT} + {buffer.offset}"
    return in_arena(program, buffer.offset)


def in_arena(program: Program, offset: int) -> str:
    """The address of what lies at `offset` of what does not last between runs, in C."""
    part = arena_of(arenas(program), offset)
    return f"{part.pointer} + {offset - part.start}"


def arena_values(parts: Sequence[Arena]) -> dict[str, object]:
    """What the library's templates write for the parts behind the first: nothing where there is but one."""
    more = [part.pointer for part in parts[1:]]
    return {
        "arenas": parts,
        "more_parameters": "".join(f", unsigned char *{one}" for one in more),
        "more_arguments": "".join(f", {one}" for one in more),
        "more_in_context": "".join(f", context->{one}" for one in more),
        "more_of_init": "".join(f", void *{one}, size_t {one}_bytes" for one in more),
        "more_to_init": "".join(f", {one}, {one}_bytes" for one in more),
    }


def layer_output(program: Program, tensor: Tensor) -> dict[str, int]:
    """Where the callback finds an output: number of the part of the arena, offset in it, and bytes.

    The part that lasts between runs comes behind the others.
    """
    parts, buffer = arenas(program), program.buffer_of(tensor.name)
    if buffer in program.lasting:
        return {"part": len(parts), "offset": buffer.offset, "bytes": tensor.bytes}
    part = arena_of(parts, buffer.offset)
    return {"part": parts.index(part), "offset": buffer.offset - part.start, "bytes": tensor.bytes}


def unused_arenas(program: Program, body: str) -> list[str]:
    """What tells the compiler of pointers that a function of a split arena does not need."""
    parts = arenas(program)
    if len(parts) == 1 and not program.states:
        return []
    return [f"(void){one.pointer};" for one in parts if not re.search(rf"\b{one.pointer}\b", body)]
