"""The memory map in the terminal: a line per step, a cell per share of the arena, a letter per buffer."""

from __future__ import annotations

import string
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from edgeprune.report.memory_map import Block, MemoryMap
from edgeprune.report.terminal import new_table
from edgeprune.report.text import printable

__all__ = ["memory_text"]

_CELLS = 56
_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits
_COLOURS = {
    "input": "black on green",
    "output": "black on cyan",
    "activation": "black on blue",
    "scratch": "black on yellow",
    "persistent": "black on magenta",
}
_FREE = "\N{MIDDLE DOT}"


def memory_text(memory: MemoryMap) -> RenderableType:
    """Steps downwards, addresses to the right, the peak marked, and what each letter stands for."""
    letters = {block: _LETTERS[i % len(_LETTERS)] for i, block in enumerate(_in_order(memory))}
    head = Text(f"memory map of {printable(memory.region)}: {memory.size_bytes:,} B", "bold")
    note = f"   one cell is {memory.size_bytes / _CELLS:,.0f} B; letters that take turns share their bytes"
    return Group(head + Text(note, "dim not bold"), _steps(memory, letters), Text(), _legend(memory, letters))


def _in_order(memory: MemoryMap) -> list[Block]:
    return sorted(memory.blocks, key=lambda block: (block.first, block.offset))


def _steps(memory: MemoryMap, letters: dict[Block, str]) -> RenderableType:
    table = new_table("step", right=("bytes",))
    table.add_column("address 0 \N{RIGHTWARDS ARROW}", no_wrap=True)
    for step, name in enumerate(memory.steps):
        peak = step == memory.peak
        cells = _cells(memory, step, letters)
        if peak:
            cells.append(" \N{BLACK LEFT-POINTING TRIANGLE} peak", "bold")
        table.add_row(
            Text(f"{step} {printable(name)}"),
            f"{memory.used_bytes(step):,}",
            cells,
            style="bold" if peak else "",
        )
    return table


def _cells(memory: MemoryMap, step: int, letters: dict[Block, str]) -> Text:
    """What a share of the arena holds; buffers that share it take turns."""
    line, alive, size = Text(), memory.alive(step), memory.size_bytes
    for cell in range(_CELLS):
        start, stop = cell * size / _CELLS, (cell + 1) * size / _CELLS
        inside = [block for block in alive if block.offset < stop and block.end > start]
        if not inside:
            line.append(_FREE, "dim")
            continue
        sharing = _sharing(inside)
        # Buffers that only meet in a cell: the one with more bytes in it.
        most = max(inside, key=lambda block: min(block.end, stop) - max(block.offset, start))
        block = sharing[cell % len(sharing)] if sharing else most
        line.append(letters[block], f"{_COLOURS[block.kind]}{' underline' if sharing else ''}")
    return line


def _sharing(blocks: list[Block]) -> tuple[Block, ...]:
    """The first two of `blocks`, sorted by address, that have bytes in common."""
    return next(((a, b) for a, b in pairwise(blocks) if b.offset < a.end), ())


def _legend(memory: MemoryMap, letters: dict[Block, str]) -> RenderableType:
    table = new_table("", "buffer", "kind", right=("address", "bytes", "steps"))
    for block in _in_order(memory):
        table.add_row(
            Text(letters[block], _COLOURS[block.kind]),
            Text(printable(block.name)),
            block.kind,
            f"{block.offset:,}",
            f"{block.size:,}",
            str(block.first) if block.first == block.last else f"{block.first}-{block.last}",
        )
    return table
