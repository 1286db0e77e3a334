"""Counting by the emulated board's timer; the only way that needs the firmware with the layer callback."""

from __future__ import annotations

from edgeprune.emulate.counters.base import CounterUnavailable, Counts
from edgeprune.emulate.counting import count_instructions
from edgeprune.errors import EnvironmentFailure, MissingTool
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["IcountCounter"]


class IcountCounter:
    """Total and layers from reads of a timer under `-icount` (edgeprune/emulate/counting.py); no blocks.

    A layer's share is what lies between two callbacks: the layer and, besides, the instructions of `run` since the
    callback before: two as a rule, up to a dozen for the first layer, whose share the prologue of `run` is in. The
    other counters book them to `run`.
    """

    name = "timer under -icount"

    def count(self, image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
        """See `Counter.count`."""
        try:
            counts = count_instructions(image, sample, timeout_s)
        except (EnvironmentFailure, MissingTool) as failure:
            raise CounterUnavailable(str(failure)) from failure
        return Counts(counts.total, counts.layers)
