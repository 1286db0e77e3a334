"""Exact instruction counts from the timer of an emulated board.

Under `-icount shift=S` QEMU advances its virtual clock by exactly P = 2**S ns per instruction, and an access to
a device ends its translation block, so that a read of the timer sees every instruction up to itself. The timer
counts once every T ns (T = 40 at 25 MHz, 50 at 20 MHz, 31.25 at 32 MHz). Two reads n instructions apart therefore
differ by

    d = floor((phase + n P) / T) - floor(phase / T),    so    |d T - n P| < T.

With S = 7, P = 128 > 2 T: the intervals (n P - T, n P + T) of successive n do not touch, so n = round(d T / P)
is the only n possible, and it is exact from one run, whatever the phase. The interval is asserted on every
count.

RISC-V's counter of retired instructions is such a timer with T = 1 ns. With S = 0, P = 1 ns = T and n = d.

The timer has 32 bits. It goes round after R = 2**32 T / P instructions (an integer, 1.3e9 at 25 MHz), which
the firmware notices; then n is known modulo R, because 2**32 ticks are R instructions. A second run with S = 3
(P = 8 ns, which lasts for 2e10 instructions) gives n within T / P < 7, and so the multiple of R.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from edgeprune.device import Emulator
from edgeprune.emulate.machine import COUNT, execute
from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["Counts", "count_instructions", "instructions_between"]

# Between the two reads around a call run the call itself and the second read besides the function.
_CALL_AND_READ = 2
_NOTHING = 2
"""Instructions of the testbed's function that does nothing, its return included."""

_ROUGH_SHIFT = 3
_NANOSECONDS = 1_000_000_000
_TIMER_RANGE = 1 << 32


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference, from the entry of `run` to its return, and of each layer's share of it."""

    total: int
    layers: tuple[int, ...]


def exact_shift(emulator: Emulator) -> int:
    """S: 0 where the timer counts the instructions themselves (T = P = 1 ns)."""
    return 0 if emulator.timer == "instret" else 7


def instructions_between(before: int, after: int, emulator: Emulator, roughly: int = 0) -> int:
    """Instructions between two reads of the timer, the second read included.

    Args:
        before: the timer at the first read, in a run with the S of `exact_shift`.
        after: the timer at the second read.
        emulator: the board.
        roughly: the number to within half of R, if the timer may have gone round between the reads.

    Raises:
        EnvironmentFailure: no number of instructions explains the times: this QEMU does not count exactly.
    """
    tick_ns, step_ns = Fraction(_NANOSECONDS, emulator.timer_hz), 1 << exact_shift(emulator)
    elapsed_ns = _ticks_between(before, after, emulator) * tick_ns
    count = round(elapsed_ns / step_ns)
    unique = step_ns > 2 * tick_ns or step_ns == tick_ns == 1
    if not unique or abs(elapsed_ns - count * step_ns) >= tick_ns:
        raise EnvironmentFailure(
            f"QEMU's timer on {emulator.machine} does not follow its instruction count: install QEMU 7.2 or later."
        )
    round_of_timer = int(_TIMER_RANGE * tick_ns / step_ns)
    return count + max(0, round((roughly - count) / round_of_timer)) * round_of_timer


def _ticks_between(before: int, after: int, emulator: Emulator) -> int:
    """What the timer counted, which may have gone round once."""
    ticks = before - after if emulator.timer == "cmsdk" else after - before
    return ticks % _TIMER_RANGE


def count_instructions(image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
    """Counts one inference on `sample`, one array [1, *shape] per input; every call gives the same numbers.

    The total is of the firmware without the callback. Layers are counted between the reads of the timer that
    the callback makes; what the callback costs, o instructions a layer, is the difference of the two
    firmwares' totals over the number of layers, and is taken off. Two of the callback's
    instructions follow its read of the timer, so the first layer's interval holds the call of `run` and all but
    these two: o - 1 in all.
    """
    total, _ = _measure(image, sample, timeout_s, counting=False)
    layers = len(image.sources.layers)
    if layers == 0:
        return Counts(total, ())
    total_with_callback, (first, *others) = _measure(image, sample, timeout_s, counting=True)
    overhead = round((total_with_callback - total) / layers)
    return Counts(total, (max(first - overhead + 1, 0), *(max(step - overhead, 0) for step in others)))


@dataclass(frozen=True)
class _Times:
    """Pairs of timer reads: around a call that does nothing, around `run`, and around each layer."""

    nothing: tuple[int, int]
    run: tuple[int, int]
    layers: tuple[tuple[int, int], ...]
    went_round: bool


def _measure(
    image: Image, sample: tuple[Array, ...], timeout_s: float, *, counting: bool
) -> tuple[int, list[int]]:
    """Instructions of `run` and, in the firmware with the callback, between the reads around each layer."""
    emulator = image.device.emulator
    assert emulator is not None, "the development machine does not count"
    layers = len(image.sources.layers) if counting else 0

    def times(shift: int) -> _Times:
        answer = execute(image, COUNT, sample, counting=counting, timeout_s=timeout_s, icount_shift=shift)
        words = [int(word) for word in answer.results]
        reads = [words[2], *words[5 : 5 + layers]]
        return _Times((words[0], words[1]), (words[2], words[3]), tuple(pairwise(reads)), words[4] != 0)

    exact = times(exact_shift(emulator))
    nothing = instructions_between(*exact.nothing, emulator) - _CALL_AND_READ
    if nothing != _NOTHING:
        raise EnvironmentFailure(
            f"QEMU counted {nothing} instructions where {_NOTHING} ran on {emulator.machine}: install QEMU 7.2 "
            "or later."
        )
    intervals = [exact.run, *exact.layers]
    roughly = [0] * len(intervals)
    if exact.went_round:
        rough = times(_ROUGH_SHIFT)
        if rough.went_round:
            raise EnvironmentFailure(
                f"One inference of {image.sources.prefix} is more than {_rough(_TIMER_RANGE - 1, emulator):,} "
                f"instructions, which {emulator.machine} cannot count: choose the device host."
            )
        roughly = [_rough(_ticks_between(a, b, emulator), emulator) for a, b in (rough.run, *rough.layers)]
    run, *steps = (
        instructions_between(*interval, emulator, rough)
        for interval, rough in zip(intervals, roughly, strict=True)
    )
    return run - _CALL_AND_READ, steps


def _rough(ticks: int, emulator: Emulator) -> int:
    """Instructions in `ticks` of a run with S = 3, within T / P."""
    return ticks * _NANOSECONDS // emulator.timer_hz >> _ROUGH_SHIFT
