"""From the words of the command line to a runner."""

from __future__ import annotations

from edgeprune.config import RunnerName
from edgeprune.errors import UsageError
from edgeprune.runners.base import Runner
from edgeprune.runners.pyocd import PyocdRunner
from edgeprune.runners.qemu import QemuRunner
from edgeprune.runners.serial import SerialRunner

__all__ = ["choose_runner"]


def choose_runner(name: RunnerName, port: str | None) -> Runner:
    """The runner of that name.

    Args:
        name: "qemu", "serial" or "pyocd".
        port: where the board is: a serial port or "tcp:HOST:PORT"; for pyocd the target's name. None for QEMU.

    Raises:
        UsageError: a board without a port, or QEMU with one.
    """
    if name == "qemu":
        if port is not None:
            raise UsageError(f"--port {port} is for a board: add --runner serial or --runner pyocd")
        return QemuRunner()
    if not port:
        example = "/dev/ttyACM0" if name == "serial" else "stm32l4r5zitx"
        raise UsageError(
            f"--runner {name} needs to know where the board is: add --port, such as --port {example}"
        )
    return SerialRunner(port) if name == "serial" else PyocdRunner(port)
