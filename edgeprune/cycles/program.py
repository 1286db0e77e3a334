"""The code of a linked image: its bytes, decoded block by block, and the functions they belong to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeprune.cycles.decode_riscv import decode_riscv
from edgeprune.cycles.decode_thumb import decode_thumb
from edgeprune.cycles.instruction import Instruction

__all__ = ["Code", "read_code"]

_Decoder = Callable[[bytes, int], tuple[Instruction, ...]]
_DECODERS: dict[str, _Decoder] = {"EM_ARM": decode_thumb, "EM_RISCV": decode_riscv}
_THUMB_BIT = 1


@dataclass(frozen=True, eq=False)
class Code:
    """Executable sections by address, and functions sorted by address."""

    sections: tuple[tuple[int, bytes], ...]
    starts: tuple[int, ...]
    functions: tuple[str, ...]
    decoder: _Decoder

    def decode(self, address: int, size_bytes: int) -> tuple[Instruction, ...]:
        """The instructions of a block."""
        for origin, data in self.sections:
            if origin <= address < origin + len(data):
                return self.decoder(data[address - origin : address - origin + size_bytes], address)
        raise ValueError(f"there is no code at {address:#x}")

    def function(self, address: int) -> str:
        """The function that the address lies in, "?" before the first."""
        index = bisect_right(self.starts, address) - 1
        return self.functions[index] if index >= 0 else "?"


def read_code(elf: Path) -> Code:
    """The code of a linked Arm or RISC-V image.

    Raises:
        ValueError: it is for another machine.
    """
    with elf.open("rb") as file:
        contents = ELFFile(file)
        machine = str(contents["e_machine"])
        if machine not in _DECODERS:
            raise ValueError(f"{elf} is for {machine}, whose code cannot be decoded")
        sections = tuple(
            (int(section["sh_addr"]), bytes(section.data()))
            for section in contents.iter_sections()
            if section["sh_flags"] & 0x4 and section["sh_type"] == "SHT_PROGBITS"
        )
        symbols = {
            int(symbol["st_value"]) & ~_THUMB_BIT: str(symbol.name)
            for table in contents.iter_sections()
            if isinstance(table, SymbolTableSection)
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        }
    starts = tuple(sorted(symbols))
    return Code(sections, starts, tuple(symbols[start] for start in starts), _DECODERS[machine])
