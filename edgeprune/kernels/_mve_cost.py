"""Cycles of the kernels for Helium before they are compiled.

The core does two beats of a vector instruction per cycle (Arm 102692), so an instruction on all lanes takes two
cycles, or one where it overlaps with the one before in the other pipeline; see `edgeprune.cycles`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.kernels import _cost
from edgeprune.kernels._mve import Form, Scaling
from edgeprune.kernels._mve_strips import Strip

__all__ = [
    "Work",
    "cycles",
    "depthwise_work",
    "multiply_row_work",
    "multiply_work",
    "pixels_work",
    "requantize_work",
    "row_work",
    "strip_work",
]


@dataclass(frozen=True)
class Work:
    """Cycles in vector loops, which their instructions' overlap decides, and instructions of scalar code."""

    vector: float = 0.0
    scalar: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.vector + other.vector, self.scalar + other.scalar)

    def __rmul__(self, times: float) -> Work:
        return Work(times * self.vector, times * self.scalar)


def requantize_work(channels: int, scaling: Scaling) -> Work:
    """Of one pixel's outputs."""
    groups = -(-channels // 16)
    return Work(groups * {"positive": 44, "fast": 60, "general": 84}[scaling.kind], 4 * groups + 30)


def pixels_work(count: int, form: Form, channels: int, scaling: Scaling) -> Work:
    """Of `count` pixels next to each other, as the shared template's `pixels` computes them."""
    pairs = -(-channels // 2)
    threes = count // 3 if count % 3 != 1 else max(0, count // 3 - 1)
    twos = -(-(count - 3 * threes) // 2)
    three, two = multiply_work(form, 3, pairs), multiply_work(form, 2, pairs)
    return threes * three + twos * two + count * requantize_work(channels, scaling)


def multiply_work(form: Form, pixels: int, pairs: int) -> Work:
    """Of the products of 3 or 2 windows with so many pairs of channels, and of calling for them."""
    scalar = 11 + 4 * form.looped if pixels == 3 else 8 + 3 * form.looped
    return pairs * (_products(form, pixels) + Work(scalar=scalar)) + Work(scalar=50)


def _products(form: Form, pixels: int) -> Work:
    """Of a pair of channels: 4 cycles per window and 16 inputs, and for the first loads of a line."""
    vectors = -(-form.taps // 16)
    lines = vectors // form.chunks if form.chunks else vectors
    return Work(4 * pixels * vectors + 3 * lines)


def row_work(taps: int, channels: int, scaling: Scaling) -> Work:
    """Of one row, four channels at a time."""
    return multiply_row_work(taps, channels) + requantize_work(channels, scaling) + Work(scalar=30)


def multiply_row_work(taps: int, channels: int) -> Work:
    """Of the products of one row, four channels at a time."""
    return -(-channels // 4) * Work(11 * -(-taps // 16), 13)


def depthwise_work(taps: int, scaling: Scaling) -> Work:
    """Of one pixel's 16 channels."""
    return Work(
        33 * (taps // 2) + 23 * (taps % 2) + 8 + {"positive": 40, "fast": 56, "general": 80}[scaling.kind], 12
    )


def strip_work(strip: Strip, channels: int, scattered: bool) -> Work:
    """Of laying out one row of an image; `scattered`: several columns at a time."""
    if scattered:
        vectors = sum(-(-copy.count // (16 // channels)) for copy in strip.copies)
        return Work(10 * vectors, 6 * vectors + 25)
    return sum((_copy_work(channels, copy.count) for copy in strip.copies), Work())


def _copy_work(size: int, count: int) -> Work:
    """Of `count` runs of `size` bytes copied."""
    if size <= 16:
        return Work(4 * count, 2 * count + 25)
    return Work(count * 5 * -(-size // 16), 9 * count + 25)


def cycles(
    device: Device, work: Work, *, code_bytes: int, constants: int, blocks: int = 1, passes: int = 1
) -> int:
    """Cycles of a layer whose `blocks` read `constants` bytes of constants each, in `passes` through all of them."""
    return round(
        work.vector
        + _cost.cycles(device, {_cost.Kind.SCALAR: work.scalar})
        + _cost.code_waits(device, code_bytes)
        + _cost.read_waits(device, constants, loads=blocks * constants / 16, passes=passes)
    )
