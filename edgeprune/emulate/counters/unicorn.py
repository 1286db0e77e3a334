"""Counting under unicorn, an emulator of processors that comes as a Python package; needs no QEMU.

The firmware without the callback runs from reset. What it asks of its surroundings is provided here: memory, the
two peripherals it touches as memory that does nothing, and semihosting (github.com/ARM-software/abi-aa,
semihosting) with files that are byte strings.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile

from edgeprune.device import Emulator
from edgeprune.emulate.blocks import BlockCount, BlockCounts, RegionCounts
from edgeprune.emulate.counters.base import CounterUnavailable, Counts
from edgeprune.emulate.loops import thumb_lengths
from edgeprune.emulate.machine import COUNT
from edgeprune.emulate.regions import Regions, find_regions
from edgeprune.errors import EnvironmentFailure, VerificationFailed
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["UnicornCounter"]

_CPU_MODELS = {
    "cortex-m0plus": "UC_CPU_ARM_CORTEX_M0",
    "cortex-m3": "UC_CPU_ARM_CORTEX_M3",
    "cortex-m4": "UC_CPU_ARM_CORTEX_M4",
    "cortex-m7": "UC_CPU_ARM_CORTEX_M7",
    "cortex-m33": "UC_CPU_ARM_CORTEX_M33",
}
_PAGE = 4096
_SYSTEM_CONTROL = 0xE000E000
_SEMIHOSTING = 0xBEAB
_OPEN, _CLOSE, _WRITE0, _WRITE, _READ, _EXIT = 1, 2, 4, 5, 6, 0x20
_THUMB_BIT = 1


class UnicornCounter:
    """Blocks and taken branches, layer by layer, of the code that ships; about 10 M instructions a second."""

    name = "unicorn"

    def count(self, image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
        """See `Counter.count`."""
        try:
            package = importlib.import_module("unicorn")
            constants = importlib.import_module("unicorn.arm_const")
        except ImportError:
            raise CounterUnavailable(
                "the package is not installed, install it with `pip install unicorn`"
            ) from None
        model = _CPU_MODELS.get(image.device.core)
        if model is None:
            raise CounterUnavailable(f"it has no {image.device.core}")
        try:
            regions = find_regions(image)
            machine = _Machine(package, constants, getattr(constants, model), image, regions, sample)
        except (EnvironmentFailure, package.UcError) as failure:
            raise CounterUnavailable(str(failure)) from failure
        return Counts.of_blocks(machine.run(timeout_s))


@dataclass
class _Recorder:
    """Executions by region and block; the rules of edgeprune/emulate/plugin/plugin.c."""

    regions: Regions
    region: int = 0
    counting: bool = False
    whole: bool = False
    layers_begun: set[int] = field(default_factory=set)
    previous: tuple[int, int, int] = (0, 0, 0)
    executions: defaultdict[tuple[int, int, int], int] = field(default_factory=lambda: defaultdict(int))
    taken: defaultdict[tuple[int, int, int], int] = field(default_factory=lambda: defaultdict(int))

    def block(self, address: int, size: int) -> None:
        """A block starts."""
        if self.counting and sum(self.previous[1:]) != address:
            self.taken[self.previous] += 1
        if address == self.regions.start and not self.whole:
            self.counting = True
        elif address == self.regions.stop and self.counting:
            self.counting, self.whole = False, True
        if self.counting:
            self.region = self._region_at(address)
            self.previous = (self.region, address, size)
            self.executions[self.previous] += 1

    def _region_at(self, address: int) -> int:
        if any(low <= address < high for low, high in self.regions.run):
            return 0
        entries = self.regions.layers
        if self.region == 0 and address in entries:
            layer = 1 + entries.index(address)
            self.layers_begun.add(layer)
            return layer
        return self.region


class _Machine:
    """A processor with the image in its memory."""

    def __init__(
        self,
        package: ModuleType,
        constants: ModuleType,
        cpu_model: int,
        image: Image,
        regions: Regions,
        sample: tuple[Array, ...],
    ) -> None:
        emulator = image.device.emulator
        assert emulator is not None, "the development machine does not count"
        self._package: Any = package
        self._registers: Any = constants
        self._image = image
        self._recorder = _Recorder(regions)
        self._files = _Files(
            {
                "request.bin": np.array([COUNT, 1, 1], "<u4").tobytes(),
                "inputs.bin": b"".join(np.ascontiguousarray(array).tobytes() for array in sample),
            }
        )
        self._said = ""
        self._status: int | None = None
        self._failure: Exception | None = None
        self._cpu = package.Uc(package.UC_ARCH_ARM, package.UC_MODE_THUMB | package.UC_MODE_MCLASS)
        self._cpu.ctl_set_cpu_model(cpu_model)
        self._load(emulator)
        self._cpu.hook_add(package.UC_HOOK_BLOCK, self._on_block)
        self._cpu.hook_add(package.UC_HOOK_INTR, self._on_exception)

    def _load(self, emulator: Emulator) -> None:
        cpu, registers = self._cpu, self._registers
        cpu.mem_map(emulator.flash_origin, _pages(emulator.flash_bytes))
        cpu.mem_map(emulator.ram_origin, _pages(emulator.ram_bytes))
        if emulator.more_ram_origin is not None and emulator.more_ram_bytes:
            cpu.mem_map(emulator.more_ram_origin, _pages(emulator.more_ram_bytes))
        cpu.mem_map(emulator.timer_origin // _PAGE * _PAGE, _PAGE)
        cpu.mem_map(_SYSTEM_CONTROL, _PAGE)
        with self._image.elf.open("rb") as file:
            for segment in ELFFile(file).iter_segments():
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                    cpu.mem_write(segment["p_paddr"], segment.data())
        if self._image.device.fpu:
            cpu.reg_write(registers.UC_ARM_REG_C1_C0_2, 0xF << 20)
            cpu.reg_write(registers.UC_ARM_REG_FPEXC, 1 << 30)
        cpu.reg_write(registers.UC_ARM_REG_SP, self._word(emulator.flash_origin))
        self._reset = self._word(emulator.flash_origin + 4)

    def run(self, timeout_s: float) -> BlockCounts:
        """Runs from reset to the end of the firmware."""
        place = f"Library {self._image.sources.prefix} failed under unicorn"
        try:
            self._cpu.emu_start(self._reset | _THUMB_BIT, 0, timeout=round(timeout_s * 1e6))
        except self._package.UcError as error:
            pc = self._cpu.reg_read(self._registers.UC_ARM_REG_PC)
            raise VerificationFailed(f"{place}: {error} at {pc:#x}.") from None
        if self._failure is not None:
            raise VerificationFailed(f"{place}: {self._failure}.")
        if self._status is None:
            raise VerificationFailed(f"{place}: it did not end within {timeout_s:g} s.")
        if self._status != 0:
            raise VerificationFailed(f"{place}: {self._said.rpartition('testbed: ')[2].strip()}.")
        recorder = self._recorder
        if not recorder.whole or len(recorder.layers_begun) != len(recorder.regions.layers):
            raise CounterUnavailable("not every layer ran")
        return self._blocks()

    def _blocks(self) -> BlockCounts:
        recorder, regions = self._recorder, self._recorder.regions
        found: list[list[BlockCount]] = [[] for _ in regions.names]
        for (region, address, size), executions in sorted(recorder.executions.items()):
            instructions = len(thumb_lengths(bytes(self._cpu.mem_read(address, size))))
            taken = recorder.taken[region, address, size]
            found[region].append(BlockCount(address, size, instructions, executions, taken))
        run, *layers = (
            RegionCounts(name, tuple(blocks)) for name, blocks in zip(regions.names, found, strict=True)
        )
        return BlockCounts(run, tuple(layers))

    def _word(self, address: int) -> int:
        return int.from_bytes(self._cpu.mem_read(address, 4), "little")

    def _on_block(self, _cpu: object, address: int, size: int, _data: object) -> None:
        self._recorder.block(address, size)

    def _on_exception(self, _cpu: object, number: int, _data: object) -> None:
        """Semihosting; any other exception is a fault of the library's. What is raised here would be lost."""
        cpu, registers = self._cpu, self._registers
        pc = cpu.reg_read(registers.UC_ARM_REG_PC) & ~_THUMB_BIT
        before = next((at for at in (pc, pc - 2) if self._halfword(at) == _SEMIHOSTING), None)
        if before is None:
            self._failure = RuntimeError(f"exception {number} at {pc:#x}")
            cpu.emu_stop()
            return
        operation = cpu.reg_read(registers.UC_ARM_REG_R0)
        argument = cpu.reg_read(registers.UC_ARM_REG_R1)
        try:
            answer = self._semihost(operation, argument)
        except (KeyError, IndexError) as error:
            self._failure = error
            cpu.emu_stop()
            return
        cpu.reg_write(registers.UC_ARM_REG_R0, answer)
        cpu.reg_write(registers.UC_ARM_REG_PC, before + 2 | _THUMB_BIT)

    def _semihost(self, operation: int, argument: int) -> int:
        if operation == _WRITE0:
            self._said += self._text(argument)
            return 0
        first, second, third = (self._word(argument + 4 * index) for index in range(3))
        if operation == _OPEN:
            return self._files.open(bytes(self._cpu.mem_read(first, third)).decode())
        if operation == _READ:
            data = self._files.read(first, third)
            self._cpu.mem_write(second, data)
            return third - len(data)
        if operation == _EXIT:
            self._status = second
            self._cpu.emu_stop()
        return 0  # what is written or closed needs no keeping

    def _halfword(self, address: int) -> int:
        return int.from_bytes(self._cpu.mem_read(address, 2), "little")

    def _text(self, address: int) -> str:
        found = bytearray()
        while byte := self._cpu.mem_read(address + len(found), 1)[0]:
            found.append(byte)
        return found.decode(errors="replace")


@dataclass
class _Files:
    """What the firmware reads, by name, and what is left of each file it opened."""

    contents: dict[str, bytes]
    opened: list[bytes] = field(default_factory=list)

    def open(self, name: str) -> int:
        self.opened.append(self.contents.get(name, b""))
        return len(self.opened)

    def read(self, handle: int, size: int) -> bytes:
        data = self.opened[handle - 1][:size]
        self.opened[handle - 1] = self.opened[handle - 1][size:]
        return data


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
