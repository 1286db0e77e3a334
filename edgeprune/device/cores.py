"""The processor cores a profile may name, and the emulated boards that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from edgeprune.device.profile import Emulator

__all__ = ["CORES", "Core"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Core:
    """What follows from a core's name: instruction set, compiler, machine flags, emulated board."""

    dsp: bool
    fpu: bool
    compiler: str
    flags: tuple[str, ...]
    emulator: Emulator | None
    mve: bool = False


def _arm(cpu: str, board: Emulator, fpu: str | None = None, *, dsp: bool = False, mve: bool = False) -> Core:
    floating = ("-mfloat-abi=soft",) if fpu is None else (f"-mfpu={fpu}", "-mfloat-abi=hard")
    flags = (f"-mcpu={cpu}", "-mthumb", *floating)
    return Core(dsp, fpu is not None, "arm-none-eabi-gcc", flags, board, mve)


# Memory maps: Arm application notes AN385, AN386, AN500, AN505 and AN547, as QEMU's hw/arm/mps2.c and mps2-tz.c
# implement them. The last two start in the secure state, so they get the secure aliases of memories and timer.
def _mps2(machine: str) -> Emulator:
    psram = 0x60000000 if machine == "mps2-an500" else 0x21000000
    board = Emulator(machine, 0x0, 4 * _MIB, 0x20000000, 4 * _MIB, 25_000_000)
    return replace(board, more_ram_origin=psram, more_ram_bytes=16 * _MIB)


_AN505 = Emulator(
    "mps2-an505",
    flash_origin=0x10000000,
    flash_bytes=4 * _MIB,
    ram_origin=0x38000000,
    ram_bytes=4 * _MIB,
    timer_hz=20_000_000,
    timer_origin=0x50000000,
    more_ram_origin=0x80000000,
    more_ram_bytes=16 * _MIB,
)
_AN547 = Emulator(
    "mps3-an547",
    flash_origin=0x38000000,  # the QSPI flash
    flash_bytes=8 * _MIB,
    ram_origin=0x31000000,
    ram_bytes=4 * _MIB,
    timer_hz=32_000_000,
    timer_origin=0x58000000,
    timer="sse",
    entry_origin=0x0,  # the instruction TCM
    more_ram_origin=0x70000000,  # the DDR4 memory
    more_ram_bytes=16 * _MIB,
)


def _riscv(isa: str) -> Core:
    """A 32-bit core with integer registers only; the board carries every extension, so those absent are off.

    The board starts at the lowest address of its RAM, which is kept for that; code and weights lie in its flash
    (QEMU's hw/riscv/virt.c).
    """
    absent = ["f", "d", *(letter for letter in "ac" if letter not in isa)]
    board = Emulator(
        "virt",
        flash_origin=0x20000000,
        flash_bytes=32 * _MIB,
        ram_origin=0x80000040,
        ram_bytes=16 * _MIB - 0x40,
        timer_hz=1_000_000_000,
        timer="instret",
        program="qemu-system-riscv32",
        cpu=",".join(["rv32", *(f"{letter}=off" for letter in absent)]),
        entry_origin=0x80000000,
    )
    return Core(False, False, "riscv64-unknown-elf-gcc", (f"-march={isa}", "-mabi=ilp32"), board)


CORES: Mapping[str, Core] = MappingProxyType(
    {
        # QEMU's only Armv6-M board has 16 KB of RAM. Armv7-M runs the same code, and traps what M0+ would trap.
        "cortex-m0plus": _arm("cortex-m0plus", replace(_mps2("mps2-an385"), traps_unaligned=True)),
        "cortex-m3": _arm("cortex-m3", _mps2("mps2-an385")),
        "cortex-m4": _arm("cortex-m4", _mps2("mps2-an386"), "fpv4-sp-d16", dsp=True),
        "cortex-m7": _arm("cortex-m7", _mps2("mps2-an500"), "fpv5-d16", dsp=True),
        "cortex-m33": _arm("cortex-m33", _AN505, "fpv5-sp-d16", dsp=True),
        "cortex-m55": _arm("cortex-m55", _AN547, "auto", dsp=True, mve=True),
        "rv32imc": _riscv("rv32imc"),
        "rv32imac": _riscv("rv32imac"),
        "host": Core(dsp=False, fpu=True, compiler="gcc", flags=(), emulator=None),
    }
)
"""Cores by the name a profile gives them."""
