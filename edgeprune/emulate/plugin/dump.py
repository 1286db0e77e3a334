"""The file that the plugin leaves."""

from __future__ import annotations

from edgeprune.emulate.blocks import BlockCount
from edgeprune.errors import EnvironmentFailure

__all__ = ["parse_dump"]

_WHAT_HAPPENED = {
    "unstarted": "the library's run was never entered",
    "unfinished": "the library's run did not return to where it was called",
    "disordered": "not every layer ran",
    "strayed": "a loop was not left to the address behind it",
    "full": "memory ran out",
}


def parse_dump(text: str, regions: int) -> tuple[tuple[BlockCount, ...], ...]:
    """The blocks of every region, sorted by address; the format is described in plugin.c.

    Args:
        text: the file's content.
        regions: `run` and its layers: how many there are.

    Raises:
        EnvironmentFailure: the plugin did not see one whole inference, or the file is not its own.
    """
    header, *lines = text.splitlines() or [""]
    words = header.split()
    if len(words) != 3 or words[:2] != ["counts", "1"]:
        raise EnvironmentFailure(f"QEMU's plugin wrote {header!r} where its counts should begin.")
    if words[2] != "whole":
        raise EnvironmentFailure(
            f"QEMU's plugin counted no inference: {_WHAT_HAPPENED.get(words[2], words[2])}."
        )
    found: list[list[BlockCount]] = [[] for _ in range(regions)]
    for line in lines:
        region, address, size, instructions, executions, taken = line.split()
        block = BlockCount(int(address, 16), int(size), int(instructions), int(executions), int(taken))
        found[int(region)].append(block)
    return tuple(
        tuple(sorted(blocks, key=lambda block: (block.address, block.size_bytes))) for blocks in found
    )
