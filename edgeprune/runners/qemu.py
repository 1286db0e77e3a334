"""The emulator as a runner."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune import emulate
from edgeprune.device import Device
from edgeprune.emulate import Measurement
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress

__all__ = ["QemuRunner"]


@dataclass(frozen=True)
class QemuRunner:
    """Runs firmware in QEMU, and libraries for the device "host" on this machine."""

    place: str = "the emulated firmware"

    def check(self, device: Device) -> None:
        """Nothing: the tools of every device are looked for when they are first used."""

    def run(
        self, image: Image, inputs: tuple[Array, ...], *, progress: Progress | None = None
    ) -> Measurement:
        """See `Runner.run` and `emulate.run`."""
        return emulate.run(image, inputs, progress=progress)
