"""What runs a built library on a batch of inputs: an emulator, or a board."""

from __future__ import annotations

from typing import Protocol

from edgeprune.device import Device
from edgeprune.emulate import Measurement
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress

__all__ = ["Runner"]


class Runner(Protocol):
    """A place that executes libraries."""

    @property
    def place(self) -> str:
        """Where outputs come from, as a sentence names it: "the emulated firmware"."""

    def check(self, device: Device) -> None:
        """Finds out at once whether it can run anything for `device`, before hours are spent on a network.

        Raises:
            UsageError: the device or the port is not one that it can use.
            MissingTool: a package is not installed.
            EnvironmentFailure: the board does not answer.
        """

    def run(
        self, image: Image, inputs: tuple[Array, ...], *, progress: Progress | None = None
    ) -> Measurement:
        """Outputs of every sample, and what they took.

        Args:
            image: what `firmware.build` made.
            inputs: stored values in the library's layout, one array [N, *tensor.shape] per input; N >= 1.
            progress: told about the samples.

        Raises:
            MissingTool: a program or a package is not installed.
            UsageError: the port is not one that it can use, or another library is on the board.
            VerificationFailed: the library reported an error, or the emulated firmware hung or faulted.
            EnvironmentFailure: the board does not answer, files cannot be written, or QEMU itself failed.
        """
