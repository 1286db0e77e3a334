"""What a way of counting is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgeprune.emulate.blocks import BlockCounts
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["Counter", "CounterUnavailable", "Counts"]


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference, from the entry of `run` to its return, and of each layer.

    `blocks` is None where the way of counting does not see them.
    """

    total: int
    layers: tuple[int, ...]
    blocks: BlockCounts | None = None

    @classmethod
    def of_blocks(cls, blocks: BlockCounts) -> Counts:
        """The instructions that the blocks add up to."""
        return cls(blocks.instructions, tuple(layer.instructions for layer in blocks.layers), blocks)


class CounterUnavailable(Exception):
    """This way of counting does not work on this machine or for this image; the text says why."""


class Counter(Protocol):
    """A way of counting. Every call with equal arguments gives equal counts."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def count(self, image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
        """Counts one inference.

        Args:
            image: what `firmware.build` made, for a device with an emulator.
            sample: its inputs, one array [1, *shape] per input of the library.
            timeout_s: time limit of each run of the emulator.

        Raises:
            CounterUnavailable: it does not work here; another counter may.
            VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        """
