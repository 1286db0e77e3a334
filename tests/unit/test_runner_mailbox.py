"""The debug probe's way to a board: rings of bytes in memory, and pyOCD as far as it goes without a probe."""

from __future__ import annotations

import mmap
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import Memory, load_device
from edgeprune.emulate import Measurement
from edgeprune.errors import EnvironmentFailure, UsageError
from edgeprune.firmware import build
from edgeprune.progress import SilentProgress
from edgeprune.runners.mailbox import MailboxTransport
from edgeprune.runners.project import RING_BYTES
from edgeprune.runners.protocol import connect
from edgeprune.runners.pyocd import PyocdRunner, ring_addresses
from edgeprune.runners.serial import converse, write_project
from tests.support.emulated_board import board_on_tcp, make_firmware
from tests.support.fake_library import expected, fake_sources

_RAM_ORIGIN, _RAM_BYTES = 0x21000000, 16 << 20
"""The PSRAM of mps2-an386: the memory that QEMU can share with another process."""


def test_pyocd_without_target_or_probe() -> None:
    pytest.importorskip("pyocd")
    with pytest.raises(UsageError, match="pyOCD knows no target 'stm33'"):
        PyocdRunner("stm33").check(load_device("nucleo-l4r5zi"))
    with pytest.raises(EnvironmentFailure, match="no debug probe"):
        PyocdRunner("nRF52840").check(load_device("nrf52840"))


class _BoardBehindRings:
    """Implements `mailbox.Memory`: two rings at 0 and 100 of 16 bytes each, and a core that returns what it reads."""

    def __init__(self, start: int) -> None:
        self._memory = bytearray(200)
        for address in (0, 4, 100, 104):
            self.write_word(address, start)

    def read_word(self, address: int) -> int:
        self._step()
        return int.from_bytes(self._memory[address : address + 4], "little")

    def write_word(self, address: int, value: int) -> None:
        self._memory[address : address + 4] = value.to_bytes(4, "little")

    def read_bytes(self, address: int, size: int) -> bytes:
        return bytes(self._memory[address : address + size])

    def write_bytes(self, address: int, data: bytes) -> None:
        self._memory[address : address + len(data)] = data

    def _step(self) -> None:
        word = [int.from_bytes(self._memory[a : a + 4], "little") for a in (0, 4, 100, 104)]
        if word[0] != word[1] and (word[2] - word[3]) % (1 << 32) < 16:
            self._memory[108 + word[2] % 16] = self._memory[8 + word[1] % 16]
            self.write_word(4, (word[1] + 1) % (1 << 32))
            self.write_word(100, (word[2] + 1) % (1 << 32))


@pytest.mark.parametrize("start", [0, 13, (1 << 32) - 5])
def test_rings_in_memory_carry_bytes_round_and_round(start: int) -> None:
    line = MailboxTransport(_BoardBehindRings(start), 0, 100, 16)
    for length in (1, 7, 16, 3, 16, 11):
        sent = random.Random(length).randbytes(length)
        line.write(sent)
        received = b""
        while len(received) < length:
            received += line.read(0.5)
        assert received == sent
    assert line.read(0.01) == b""


def test_a_full_ring_takes_no_more_than_it_holds() -> None:
    memory = _BoardBehindRings(0)
    line = MailboxTransport(memory, 0, 100, 16)
    memory._step = lambda: None  # type: ignore[method-assign]
    line.write(b"x" * 40)
    assert memory.read_word(0) == 16
    line.write(b"y")
    assert memory.read_word(0) == 16


class _SharedMemory:
    """Implements `mailbox.Memory` on the RAM of a running QEMU."""

    def __init__(self, ram: mmap.mmap) -> None:
        self._ram = ram

    def read_word(self, address: int) -> int:
        return int.from_bytes(self.read_bytes(address, 4), "little")

    def write_word(self, address: int, value: int) -> None:
        self.write_bytes(address, value.to_bytes(4, "little"))

    def read_bytes(self, address: int, size: int) -> bytes:
        return self._ram[address - _RAM_ORIGIN : address - _RAM_ORIGIN + size]

    def write_bytes(self, address: int, data: bytes) -> None:
        self._ram[address - _RAM_ORIGIN : address - _RAM_ORIGIN + len(data)] = data


def test_the_firmware_behind_rings_is_bit_exact(tmp_path: Path) -> None:
    board = load_device("mps2-an386")
    device = replace(board, memories=(board.memories[0], Memory("psram", "ram", _RAM_ORIGIN, _RAM_BYTES)))
    image = build(fake_sources(), device, tmp_path)
    elf = make_firmware(write_project(image, 256, tmp_path / "board", "mailbox"))
    inputs = np.random.default_rng(6).integers(-128, 127, (25, 1, 8), np.int8, endpoint=True)
    shared = tmp_path / "ram"
    shared.write_bytes(bytes(_RAM_BYTES))
    backend = f"memory-backend-file,id=ram,size={_RAM_BYTES},mem-path={shared},share=on"
    options = ("-object", backend, "-machine", "memory-backend=ram")
    with board_on_tcp(elf, device, options), shared.open("r+b") as file, mmap.mmap(file.fileno(), 0) as ram:
        transport = MailboxTransport(_SharedMemory(ram), *ring_addresses(elf), RING_BYTES)
        found = connect(transport, "the rings")
        measurement = converse(
            found, image, (inputs,), Measurement((), 0, None, {}), SilentProgress(), "rings"
        )
    assert np.array_equal(measurement.outputs[0], expected(inputs))
    assert measurement.measured_clock_hz is None and measurement.measured_ms is None
