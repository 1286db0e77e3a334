"""Exact instruction counts from the timer of an emulated board.

Under `-icount shift=S` QEMU advances its virtual clock by exactly P = 2**S ns per instruction, and an access to
a device ends its translation block, so that a read of the timer sees every instruction up to itself. The timer
counts down once every T ns (T = 40 at 25 MHz, 50 at 20 MHz). Two reads n instructions apart therefore differ by

    d = floor((phase + n P) / T) - floor(phase / T),    so    |d T - n P| < T.

With S = 7, P = 128 > 2 T: the intervals (n P - T, n P + T) of successive n do not touch, so n = round(d T / P)
is the only n possible, and it is exact from one run, whatever the phase. The interval is asserted on every
count. The timer has 32 bits, so that about 1.3e9 instructions fit; firmware reports when it went round.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from edgeprune.device import Emulator
from edgeprune.emulate.machine import COUNT, ICOUNT_SHIFT, execute
from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["Counts", "count_instructions", "instructions_between"]

# Between the two reads around a call run the call itself and the second read besides the function.
_CALL_AND_READ = 2
_NOTHING = 2
"""Instructions of the testbed's function that does nothing, its return included."""

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference, from the entry of `run` to its return, and of each layer's share of it."""

    total: int
    layers: tuple[int, ...]


def instructions_between(before: int, after: int, emulator: Emulator) -> int:
    """Instructions between two reads of the down-counting timer, the second read included.

    Raises:
        EnvironmentFailure: no number of instructions explains the times: this QEMU does not count exactly.
    """
    tick_ns, step_ns = _NANOSECONDS // emulator.timer_hz, 1 << ICOUNT_SHIFT
    elapsed_ns = ((before - after) % (1 << 32)) * tick_ns
    count = (elapsed_ns + step_ns // 2) // step_ns
    if step_ns <= 2 * tick_ns or abs(elapsed_ns - count * step_ns) >= tick_ns:
        raise EnvironmentFailure(
            f"QEMU's timer on {emulator.machine} does not follow its instruction count: install QEMU 7.2 or later."
        )
    return count


def count_instructions(image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
    """Counts one inference on `sample`, one array [1, *shape] per input; every call gives the same numbers.

    The total is of the firmware without the callback. Layers are counted between the reads of the timer that
    the callback makes; what the callback costs, o instructions a layer, is the difference of the two
    firmwares' totals over the number of layers, and is taken off. The callback reads the timer with the
    second of its four instructions, so the first layer's interval holds the call of `run` and the callback's
    first half: o - 1 in all.
    """
    emulator = image.device.emulator
    assert emulator is not None, "the development machine does not count"

    plain = execute(image, COUNT, sample, counting=False, timeout_s=timeout_s).results
    total = _call(plain, emulator)
    layers = image.sources.layers
    if not layers:
        return Counts(total, ())
    timed = execute(image, COUNT, sample, counting=True, timeout_s=timeout_s).results
    overhead = round((_call(timed, emulator) - total) / len(layers))
    reads = [int(timed[2]), *(int(time) for time in timed[4 : 4 + len(layers)])]
    steps = [instructions_between(a, b, emulator) for a, b in itertools.pairwise(reads)]
    first, *others = steps
    return Counts(total, (max(first - overhead + 1, 0), *(max(step - overhead, 0) for step in others)))


def _call(times: Array, emulator: Emulator) -> int:
    """Instructions of the timed function, after checking the count of the one that does nothing."""
    nothing, function = (
        instructions_between(int(before), int(after), emulator) - _CALL_AND_READ
        for before, after in np.reshape(times[:4], (2, 2))
    )
    if nothing != _NOTHING:
        raise EnvironmentFailure(
            f"QEMU counted {nothing} instructions where {_NOTHING} ran on {emulator.machine}: install QEMU 7.2 "
            "or later."
        )
    return function
