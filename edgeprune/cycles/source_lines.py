"""Which line of C an instruction comes from, by the image's debug information (DWARF line tables)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

__all__ = ["SourceLine", "SourceLines", "read_source_lines"]


@dataclass(frozen=True)
class SourceLine:
    """A line of a source file, as the compiler was given it."""

    file: str
    line: int


@dataclass(frozen=True, eq=False)
class SourceLines:
    """Sorted addresses at which another line begins; None: no line from here on."""

    starts: tuple[int, ...]
    lines: tuple[SourceLine | None, ...]

    def at(self, address: int) -> SourceLine | None:
        """The line of an instruction, None where there is no debug information."""
        index = bisect_right(self.starts, address) - 1
        return self.lines[index] if index >= 0 else None


def read_source_lines(elf: Path) -> SourceLines:
    """The line table of an image; it is empty if the image was compiled without `-g`."""
    found: dict[int, SourceLine | None] = {}
    with elf.open("rb") as file:
        contents = ELFFile(file)
        if not contents.has_dwarf_info():
            return SourceLines((), ())
        debug = contents.get_dwarf_info()
        for unit in debug.iter_CUs():
            program = debug.line_program_for_CU(unit)
            if program is None:
                continue
            # Before version 5 of the format, files count from 1.
            files = program["file_entry"]
            first = 0 if program["version"] >= 5 else 1
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if state.end_sequence:
                    # Another unit's code may begin right there.
                    found.setdefault(state.address, None)
                elif 0 <= state.file - first < len(files):
                    name = files[state.file - first].name.decode("utf-8", errors="replace")
                    found[state.address] = SourceLine(name, state.line)
    starts = tuple(sorted(found))
    return SourceLines(starts, tuple(found[start] for start in starts))
