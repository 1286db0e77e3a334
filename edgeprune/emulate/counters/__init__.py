"""Ways of counting instructions, best first, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.emulate.counters.base import Counter, CounterUnavailable, Counts
from edgeprune.emulate.counters.icount import IcountCounter
from edgeprune.emulate.counters.plugin import PluginCounter
from edgeprune.emulate.counters.unicorn import UnicornCounter
from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress

__all__ = ["COUNTERS", "Counter", "CounterUnavailable", "Counts", "count"]

COUNTERS: tuple[Counter, ...] = (PluginCounter(), IcountCounter(), UnicornCounter())


def count(
    image: Image,
    sample: tuple[Array, ...],
    timeout_s: float,
    progress: Progress,
    counters: Sequence[Counter] = COUNTERS,
) -> tuple[Counts, str]:
    """Counts one inference by the first way that works, and names it.

    Args:
        image: what `firmware.build` made, for a device with an emulator.
        sample: its inputs, one array [1, *shape] per input of the library.
        timeout_s: time limit of each run of the emulator.
        progress: told about every way that did not work, and why.
        counters: the ways to try, in this order.

    Raises:
        EnvironmentFailure: none works.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
    """
    reasons = []
    for index, counter in enumerate(counters):
        try:
            return counter.count(image, sample, timeout_s), counter.name
        except CounterUnavailable as failure:
            reasons.append(f"{counter.name}: {failure}")
            following = "" if index + 1 == len(counters) else f" Trying {counters[index + 1].name} instead."
            progress.say(f"Instructions cannot be counted by {reasons[-1].rstrip('.')}.{following}")
    raise EnvironmentFailure(f"Instructions cannot be counted here ({'; '.join(reasons)}).")
