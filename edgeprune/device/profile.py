"""What edgeprune knows about a device, as one frozen value read from `targets/<name>.toml`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Device", "Emulator", "Flash", "Memory"]


@dataclass(frozen=True)
class Memory:
    """One region of memory: `kind` is "flash" or "ram"."""

    name: str
    kind: str
    origin: int
    size_bytes: int


@dataclass(frozen=True)
class Flash:
    """Flash timing at the device's clock, for the cycle model. Zero lines: no cache."""

    wait_states: int
    line_bytes: int
    instruction_lines: int
    data_lines: int


@dataclass(frozen=True)
class Emulator:
    """The QEMU board that stands in for the device: machine name, its memories, and its timer.

    `timer_origin` is the address of a CMSDK APB timer, which counts down at `timer_hz` of virtual time.
    """

    machine: str
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    timer_hz: int
    timer_origin: int = 0x40000000


@dataclass(frozen=True)
class Device:
    """A device profile; every field is documented in docs/devices.md.

    `emulator` is None for the development machine itself ("host"), whose `core` is "host".
    `flags` are the compiler's machine flags, without optimisation.
    """

    name: str
    description: str
    core: str
    clock_hz: int
    memories: tuple[Memory, ...]
    flash: Flash | None
    dsp: bool
    fpu: bool
    compiler: str
    flags: tuple[str, ...]
    emulator: Emulator | None

    @property
    def flash_bytes(self) -> int:
        """All flash of the device."""
        return sum(memory.size_bytes for memory in self.memories if memory.kind == "flash")

    @property
    def ram_bytes(self) -> int:
        """The largest single RAM region, which is where the arena goes."""
        return max(memory.size_bytes for memory in self.memories if memory.kind == "ram")
