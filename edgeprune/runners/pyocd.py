"""A board at a debug probe: flashes the firmware through pyOCD, and speaks with it through memory.

Not yet tried on hardware: the conversation is that of the serial runner, the probe's part follows pyOCD's Python
interface (pyocd.io, version 0.36 and later).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeprune import emulate
from edgeprune.device import Device
from edgeprune.emulate import Measurement
from edgeprune.errors import EnvironmentFailure, MissingTool, UsageError
from edgeprune.firmware import Image
from edgeprune.firmware.toolchain import require, run_tool
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress, SilentProgress
from edgeprune.runners.mailbox import MailboxTransport
from edgeprune.runners.project import RING_BYTES, check_core
from edgeprune.runners.protocol import Timing, connect
from edgeprune.runners.serial import converse, write_project

__all__ = ["PyocdRunner", "ring_addresses"]

_RINGS = ("serial_ring_to_board", "serial_ring_from_board")


@dataclass(frozen=True)
class PyocdRunner:
    """Runs libraries on the chip `port`: pyOCD's name of the target, with "@" and a probe's ID if there are several."""

    port: str
    timing: Timing = field(default_factory=Timing)

    @property
    def place(self) -> str:
        """See `Runner.place`."""
        return f"the board {self.port}"

    @property
    def _target(self) -> str:
        return self.port.partition("@")[0]

    def check(self, device: Device) -> None:
        """See `Runner.check`; a probe must be connected."""
        check_core(device)
        self._session()

    def run(
        self, image: Image, inputs: tuple[Array, ...], *, progress: Progress | None = None
    ) -> Measurement:
        """See `Runner.run`."""
        progress = progress or SilentProgress()
        check_core(image.device)
        counted = emulate.run(image, tuple(array[:1] for array in inputs), progress=progress)
        project = write_project(image, counted.stack_bytes, image.directory / "board", "mailbox")
        run_tool([require("make"), "-C", str(project)], project / "make.log")
        elf = project / "firmware.elf"
        with self._flashed(elf, progress) as target:
            transport = MailboxTransport(_ProbedMemory(target), *ring_addresses(elf), RING_BYTES)
            board = connect(transport, self.place, self.timing)
            return converse(board, image, inputs, counted, progress, self.place)

    def _session(self) -> Any:
        """A session with the probe, not yet opened."""
        try:
            from pyocd.core.helpers import ConnectHelper
            from pyocd.target import TARGET, normalise_target_type_name
            from pyocd.target.pack.pack_target import ManagedPacks
        except ImportError:
            raise MissingTool("pyOCD is not installed: `pip install edgeprune[pyocd]`") from None
        name = normalise_target_type_name(self._target)
        known = {
            *TARGET,
            *(normalise_target_type_name(part.part_number) for part in ManagedPacks.get_installed_targets()),
        }
        if name not in known:
            raise UsageError(
                f"pyOCD knows no target {self._target!r}: `pyocd pack find {self._target}` says which pack has it, "
                "`pyocd pack install` brings that, `pyocd list --targets` lists what is there"
            )
        session = ConnectHelper.session_with_chosen_probe(
            blocking=False,
            return_first=True,
            auto_open=False,
            unique_id=self.port.partition("@")[2] or None,
            options={"target_override": name},
        )
        if session is None:
            raise EnvironmentFailure(
                f"no debug probe for {self.port} is connected: `pyocd list` shows those that are"
            )
        return session

    @contextmanager
    def _flashed(self, elf: Path, progress: Progress) -> Iterator[Any]:
        """The target, running `elf`."""
        session = self._session()
        from pyocd.core.exceptions import Error
        from pyocd.flash.file_programmer import FileProgrammer

        try:
            with session:
                with progress.task(f"flashing {self._target}"):
                    FileProgrammer(session).program(str(elf))
                session.target.reset()
                yield session.target
        except Error as error:
            raise EnvironmentFailure(f"pyOCD failed on {self.port}: {error}") from None


class _ProbedMemory:
    """Implements `mailbox.Memory` on a target of pyOCD."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def read_word(self, address: int) -> int:
        """The 32-bit word at `address`."""
        return int(self._target.read32(address))

    def write_word(self, address: int, value: int) -> None:
        """Writes a 32-bit word."""
        self._target.write32(address, value)

    def read_bytes(self, address: int, size: int) -> bytes:
        """`size` bytes from `address` on."""
        return bytes(self._target.read_memory_block8(address, size))

    def write_bytes(self, address: int, data: bytes) -> None:
        """Writes bytes."""
        self._target.write_memory_block8(address, list(data))


def ring_addresses(elf: Path) -> tuple[int, int]:
    """Where in memory the rings to the board and from it are."""
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), "images are linked with their symbols"
        addresses = {symbol.name: int(symbol["st_value"]) for symbol in table.iter_symbols()}
    return addresses[_RINGS[0]], addresses[_RINGS[1]]
