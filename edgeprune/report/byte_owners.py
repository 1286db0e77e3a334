"""Who owns a byte of the arena: the question as it is typed, and its answer from a report's memory maps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from edgeprune.errors import UsageError
from edgeprune.report.memory_map import Block, MemoryMap, memory_maps
from edgeprune.report.terminal import new_table
from edgeprune.report.text import printable

__all__ = ["Owned", "byte_owners", "owners_text", "owners_values"]

_QUESTION = re.compile(r"(?:(?P<region>[^:@]+):)?(?P<offset>0[xX][0-9a-fA-F]+|\d+)(?:@(?P<step>.+))?")


@dataclass(frozen=True)
class Owned:
    """What the byte at `offset` of `region` holds at `step`: two blocks where an output overwrites an input."""

    region: str
    offset: int
    step: int
    step_name: str
    blocks: tuple[Block, ...]


def byte_owners(report: Mapping[str, Any], question: str) -> tuple[Owned, ...]:
    """The answer to `question`, "[REGION:]OFFSET[@STEP]": for that step or for every one, in order.

    OFFSET is in bytes, decimal or after 0x; STEP is a layer's number or name. Without REGION the first is meant.

    Raises:
        UsageError: it is no such question, or names a region, byte or step that the arena has not.
    """
    found = _QUESTION.fullmatch(question.strip())
    if found is None:
        raise UsageError(
            f"--owner {question[:80]!r} is no OFFSET[@STEP]: ask for 1024, 0x400, 1024@3 or sram:1024@conv1"
        )
    memory = _memory(memory_maps(report), found["region"])
    offset = int(found["offset"], 0 if found["offset"][:2] in ("0x", "0X") else 10)
    if offset >= memory.size_bytes:
        raise UsageError(
            f"--owner asks for byte {offset:,} of {memory.region}, whose arena has {memory.size_bytes:,}: "
            f"ask for 0 to {memory.size_bytes - 1}"
        )
    steps = range(len(memory.steps)) if found["step"] is None else _steps_named(memory, found["step"])
    return tuple(
        Owned(memory.region, offset, step, memory.steps[step], memory.owners(step, offset)) for step in steps
    )


def owners_values(owned: Sequence[Owned]) -> list[dict[str, Any]]:
    """The answer as JSON values."""
    return [
        {
            "region": one.region,
            "offset": one.offset,
            "step": one.step,
            "layer": one.step_name,
            "owners": [
                {"name": b.name, "kind": b.kind, "tensors": list(b.tensors), "byte": one.offset - b.offset}
                for b in one.blocks
            ],
        }
        for one in owned
    ]


def owners_text(owned: Sequence[Owned]) -> RenderableType:
    """The answer as a table: a line per step and owner."""
    table = new_table("step", "owner", "kind", right=("its byte",))
    table.title = f"byte {owned[0].offset:,} of {printable(owned[0].region)}"
    for one in owned:
        step = f"{one.step} {printable(one.step_name)}"
        if not one.blocks:
            table.add_row(Text(step), Text("nobody", "dim"), "", "")
        for block in one.blocks:
            table.add_row(
                Text(step), Text(printable(block.name)), block.kind, f"{one.offset - block.offset:,}"
            )
    return table


def _memory(maps: Sequence[MemoryMap], region: str | None) -> MemoryMap:
    if not maps:
        raise UsageError("--owner asks about an arena, and this report has none: nothing was built")
    if region is None:
        return maps[0]
    for memory in maps:
        if memory.region == region:
            return memory
    names = ", ".join(printable(memory.region) for memory in maps)
    raise UsageError(f"--owner asks about the memory {region[:80]!r}: the library uses {names}")


def _steps_named(memory: MemoryMap, step: str) -> tuple[int, ...]:
    """The steps of that number or name; several may have one name."""
    if step.isdecimal() and int(step) < len(memory.steps):
        return (int(step),)
    named = tuple(number for number, name in enumerate(memory.steps) if name == step)
    if not named:
        raise UsageError(
            f"--owner asks about the step {step[:80]!r}: use a number from 0 to {len(memory.steps) - 1}, "
            "or a layer's name"
        )
    return named
