"""What edgeprune knows about a device, as one frozen value read from `targets/<name>.toml`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Device", "Emulator", "Flash", "Memory", "TimerKind"]


@dataclass(frozen=True)
class Memory:
    """One region of memory: `kind` is "flash" or "ram".

    `wait_states` is what a read costs beyond the cycle of a memory without any, at the device's clock; for
    the flash that runs the code, `Flash` says more. `tightly_coupled` memory (TCM) is beside the core: never
    waited for and never cached.
    """

    name: str
    kind: str
    origin: int
    size_bytes: int
    wait_states: int = 0
    tightly_coupled: bool = False


@dataclass(frozen=True)
class Flash:
    """Timing of the flash that runs the code at the device's clock, and the cache in front of it.

    Attributes:
        wait_states: cycles the core waits for a line that is in no cache.
        line_bytes: bytes of a cache line, or of what one flash access gives where there is no cache.
        instruction_lines: lines of the cache for code. Zero: no cache.
        data_lines: lines of the cache for constants; zero with `unified`, where it is the same cache.
        instruction_ways: lines a code address can be in. Zero: all of them.
        data_ways: the same for constants.
        unified: whether constants go through the cache for code.
        prefetch: whether the next line is fetched ahead of the code that runs.
        word_bytes: what one access to the flash gives, where lines are filled piece by piece. Zero: a line.
        holds_constants: whether constants are read from it; false in the question what a kernel would cost with
            its constants in RAM (see `plan.placement`), true of every device.
    """

    wait_states: int
    line_bytes: int
    instruction_lines: int
    data_lines: int
    instruction_ways: int = 0
    data_ways: int = 0
    unified: bool = False
    prefetch: bool = False
    word_bytes: int = 0
    holds_constants: bool = True

    @property
    def instruction_bytes(self) -> int:
        """Size of the cache for code."""
        return self.line_bytes * self.instruction_lines

    @property
    def data_bytes(self) -> int:
        """Size of the cache for constants."""
        return self.instruction_bytes if self.unified else self.line_bytes * self.data_lines


TimerKind = Literal["cmsdk", "sse", "instret"]
"""A CMSDK APB timer, which counts down; the system timer of an SSE-300, which counts up; RISC-V's count of
retired instructions, which under `-icount shift=0` is exactly that."""


@dataclass(frozen=True)
class Emulator:
    """The QEMU board that stands in for the device: machine name, its memories, and its timer.

    Attributes:
        timer_hz: how fast the timer counts in virtual time.
        timer_origin: address of the timer; nothing for "instret".
        timer: what kind of timer it is; the firmware always gives its value as one that counts down.
        program: the emulator's executable.
        cpu: its `-cpu` option, where the machine does not decide.
        entry_origin: where the board takes its vectors (Cortex-M) or its first instruction (RISC-V) from.
        traps_unaligned: whether the firmware makes accesses to unaligned addresses fault, because the device
            does and the emulated core does not by itself.
        more_ram_origin: another memory, for the parts of an arena in a device's further memories; None where the
            board has none, so that these parts lie in the first.
    """

    machine: str
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    timer_hz: int
    timer_origin: int = 0x40000000
    timer: TimerKind = "cmsdk"
    program: str = "qemu-system-arm"
    cpu: str | None = None
    entry_origin: int | None = None
    traps_unaligned: bool = False
    more_ram_origin: int | None = None
    more_ram_bytes: int = 0


@dataclass(frozen=True)
class Device:
    """A device profile; every field is documented in docs/devices.md.

    `emulator` is None for the development machine itself ("host"), whose `core` is "host".
    `flags` are the compiler's machine flags, without optimisation. `dsp` is the Armv7E-M / Armv8-M DSP extension,
    `mve` Helium, the M-profile vector extension.
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
    mve: bool = False

    @property
    def flash_bytes(self) -> int:
        """All flash of the device."""
        return sum(memory.size_bytes for memory in self.memories if memory.kind == "flash")

    @property
    def data_memories(self) -> tuple[Memory, ...]:
        """The RAM that an arena may lie in, fastest first and then largest.

        Not one at address 0, which in C is no object's: an instruction TCM usually.
        """
        found = [memory for memory in self.memories if memory.kind == "ram"]
        usable = [memory for memory in found if memory.origin] or found
        return tuple(sorted(usable, key=lambda memory: (memory.wait_states, -memory.size_bytes)))

    @property
    def all_ram_bytes(self) -> int:
        """The RAM of all `data_memories`."""
        return sum(memory.size_bytes for memory in self.data_memories)

    @property
    def ram_bytes(self) -> int:
        """The largest single RAM region, which is where an arena of one part goes if all are equally fast."""
        return max(memory.size_bytes for memory in self.memories if memory.kind == "ram")

    def with_one_ram(self) -> Device:
        """The device with the largest of its `data_memories` as its only RAM."""
        largest = max(self.data_memories, key=lambda memory: memory.size_bytes)
        return replace(
            self, memories=tuple(one for one in self.memories if one.kind != "ram" or one is largest)
        )
