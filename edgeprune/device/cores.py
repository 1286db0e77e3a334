"""The processor cores a profile may name, and the emulated boards that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def _arm(cpu: str, board: Emulator, fpu: str | None) -> Core:
    floating = ("-mfloat-abi=soft",) if fpu is None else (f"-mfpu={fpu}", "-mfloat-abi=hard")
    flags = (f"-mcpu={cpu}", "-mthumb", *floating)
    return Core(cpu != "cortex-m3", fpu is not None, "arm-none-eabi-gcc", flags, board)


# Memory maps: Arm application notes AN385, AN386, AN500 and AN505, as QEMU's hw/arm/mps2.c and mps2-tz.c
# implement them. The AN505 starts in the secure state, so it gets the secure aliases of memories and timer.
def _mps2(
    machine: str, flash: int = 0x0, ram: int = 0x20000000, timer: int = 0x40000000, hz: int = 25_000_000
) -> Emulator:
    return Emulator(machine, flash, 4 * _MIB, ram, 4 * _MIB, hz, timer)


CORES: Mapping[str, Core] = MappingProxyType(
    {
        "cortex-m3": _arm("cortex-m3", _mps2("mps2-an385"), None),
        "cortex-m4": _arm("cortex-m4", _mps2("mps2-an386"), "fpv4-sp-d16"),
        "cortex-m7": _arm("cortex-m7", _mps2("mps2-an500"), "fpv5-d16"),
        "cortex-m33": _arm(
            "cortex-m33",
            _mps2("mps2-an505", flash=0x10000000, ram=0x38000000, timer=0x50000000, hz=20_000_000),
            "fpv5-sp-d16",
        ),
        "host": Core(dsp=False, fpu=True, compiler="gcc", flags=(), emulator=None),
    }
)
"""Cores by the name a profile gives them."""
