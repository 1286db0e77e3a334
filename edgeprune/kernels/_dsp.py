"""Encoding, requantisation and helper functions shared by the kernels for the DSP extension.

**Borrow encoding.** Weights stay one byte each in flash; a pair is the halfword 256*w1 + w0. Activations are
expanded to odd = x1 - 127 and even = 256*x0 - odd. Then, with the sign-extended low byte w0 of the halfword,

    (256*w1 + w0)*odd + w0*even = 256*(w0*x0 + w1*(x1 - 127))

so that a word of four weights needs one SXTB16 and two SMLAD per pixel, and nothing on the pixel's side. It is
exact where

* odd is in [-255, 0] and even in [-32768, 32767]: every int8 pair satisfies that with 127, but not with 128;
* 256*w1 + w0 is within int16: |w| <= 127;
* 256 times the finished accumulator is within int32: |accumulator| < 2**23 over the whole input range.
  Intermediate sums may wrap, because additions modulo 2**32 commute.

The offset 127 and the input's zero point are folded into the initial sum.

**Requantisation.** `Scaling` chooses per layer between three exact forms of TensorFlow Lite's double rounding;
the conditions stand at `Scaling.of`. A channel's right shift travels in the low byte of its initial sum, where
every contribution is a multiple of 256.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels.base import Function, Weights
from edgeprune.ops._convolution import accumulator_bounds, requantized_multipliers
from edgeprune.templating import render

__all__ = [
    "LARGEST_ACCUMULATOR",
    "Scaling",
    "block_functions",
    "encode_words",
    "expand_lanes",
    "helpers",
    "initial_sums",
    "is_exact",
    "is_exact_and_short",
    "is_within_range",
    "is_within_range_and_short",
    "pad_to_words",
    "pair_stream",
    "stream_bytes",
]

LARGEST_ACCUMULATOR = (1 << 23) - 1
_LARGEST_SHIFT = 23

_REQUIRES = {
    "sxtb16": ("portable_sxtb16",),
    "sxtb16_1": ("portable_sxtb16",),
    "expand": ("expand_word",),
    "widen": ("portable_sxtb16",),
    "multiply_4x2": ("portable_smlad", "portable_sxtb16"),
    "multiply_1x4": ("portable_smlad", "portable_sxtb16"),
}
"""Helpers that the portable form of a helper calls."""


@dataclass(frozen=True)
class Scaling:
    """How a layer turns accumulators into outputs.

    `kind` is "positive" (five instructions), "fast" (six) or "general" (a call of the shared function);
    `clamps` says whether outputs are clamped to less than the int8 range. `multipliers` and `shifts` are int32
    per output channel; shifts are positive to the left, as in TensorFlow Lite.
    """

    kind: str
    clamps: bool
    zero: int
    low: int
    high: int
    multipliers: Array
    shifts: Array

    @staticmethod
    def of(node: Node) -> Scaling:
        """The cheapest form that is exact for the layer's scales, given |accumulator| < 2**23.

        With n the right shift and a the accumulator, the two fast forms compute
        h = (2a * multiplier + 2**31) >> 32, which is the rounding doubling high multiply because 2a fits a
        word, and then (h + (h < 0 ? -1 : 0) + 2**(n - 1) + zero * 2**n) >> n, which rounds half away from
        zero. Where h is 0, the rest shifts to the zero point with the -1 or without, so that the sign of a may
        stand for that of h. |h| < 2**23 and n in [1, 23] keep every term below 2**31. A shift beyond 23 always
        gives zero, as the multiplier 0 does. "positive" drops the correction of a negative h, whose output is at
        most the zero point either way, and so is clamped to low when zero <= low.
        """
        multipliers, shifts = requantized_multipliers(node)
        low, high = node.ints("clamp")
        zero = node.output.zero_point
        vanishes = (multipliers == 0) | (shifts < -_LARGEST_SHIFT)
        multipliers, shifts = np.where(vanishes, 0, multipliers), np.where(vanishes, -1, shifts)
        kind = "general" if (shifts >= 0).any() else ("positive" if zero <= low else "fast")
        return Scaling(kind, (low, high) != (-128, 127), zero, low, high, multipliers, shifts)

    def part(self, channels: slice) -> Scaling:
        """That of some of the output channels."""
        return replace(self, multipliers=self.multipliers[channels], shifts=self.shifts[channels])

    @property
    def is_short(self) -> bool:
        """Whether five or six instructions scale a sum: no left shift, no clamp."""
        return self.kind != "general" and not self.clamps

    @property
    def suffix(self) -> str:
        """Names the form in the names of functions."""
        return f"{self.kind}_clamped" if self.clamps else self.kind

    @property
    def arguments(self) -> str:
        """The C arguments zero point and, where it clamps, low and high."""
        return f"{self.zero}, {self.low}, {self.high}" if self.clamps else f"{self.zero}"

    @property
    def parameters(self) -> str:
        """The C parameters that take `arguments`."""
        return "int32_t zero, int32_t low, int32_t high" if self.clamps else "int32_t zero"

    @property
    def limits(self) -> str:
        """The last arguments of the function that scales one sum."""
        return ", low, high" if self.clamps else ""

    def offset(self, shift: str) -> str:
        """The C expression of the offset that goes with the channel's `shift`."""
        return "zero" if self.kind == "general" else f"(2 * zero + 1) * (int32_t)(1UL << ({shift} - 1))"

    @property
    def passed(self) -> str:
        """The C arguments that hand `parameters` on."""
        return "zero, low, high" if self.clamps else "zero"

    def low_bytes(self) -> Array:
        """What the low byte of an initial sum holds, as `part == "scale"` of the template reads it: uint32."""
        carried = self.shifts if self.kind == "general" else -self.shifts
        return np.asarray(carried, np.int64).astype(np.uint32) & np.uint32(0xFF)

    def functions(self, prefix: str, fraction: int = 8) -> tuple[str, tuple[Function, ...]]:
        """The name of the function that scales one sum of 2**fraction times the accumulator; with what it needs.

        The functions end with the named one.
        """
        name = f"{prefix}_scale_{self.suffix}" + ("" if fraction == 8 else f"_{fraction}")
        multiply = () if self.kind == "general" else ("smmlar",)
        needed = helpers(prefix, (*multiply, *(() if self.clamps else ("ssat8",))))
        return name, (
            *needed,
            _part("scale", prefix, name, kind=self.kind, clamp=self.clamps, fraction=fraction),
        )


def is_within_range(node: Node, w: Array, b: Array) -> bool:
    """Whether int8 weights `w` (output channels first) and bias `b` prove |accumulator| < 2**23 for every input.

    int16 weights, which span more than 8 bits, are never within it: every DSP kernel encodes 8 bits.
    """
    low, high = accumulator_bounds(node.inputs[0].zero_point, w, b)
    return w.dtype == np.int8 and bool(
        low.min() >= -LARGEST_ACCUMULATOR and high.max() <= LARGEST_ACCUMULATOR
    )


def is_exact(node: Node, w: Array, b: Array) -> bool:
    """Whether the borrow encoding is exact for weights `w` (output channels first) and bias `b`."""
    return bool(w.min(initial=0) >= -127) and is_within_range(node, w, b)


def is_exact_and_short(node: Node, weights: Weights) -> bool:
    """Whether the borrow encoding is exact for a node with inputs x, w, b, and its scaling `is_short`."""
    w, b = (weights[tensor.name] for tensor in node.inputs[1:])
    return is_exact(node, w, b) and Scaling.of(node).is_short


def is_within_range_and_short(node: Node, weights: Weights) -> bool:
    """Whether a node with inputs x, w, b `is_within_range`, and its scaling `is_short`."""
    w, b = (weights[tensor.name] for tensor in node.inputs[1:])
    return is_within_range(node, w, b) and Scaling.of(node).is_short


def pad_to_words(rows: Array) -> Array:
    """`rows` [out, K] with zero weights appended until K is a multiple of 4."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))


def encode_words(rows: Array) -> Array:
    """int8 weights [out, K], K a multiple of 4, as words of two halfwords 256*w1 + w0: uint32 [out, K / 4]."""
    w = rows.astype(np.int64).reshape(rows.shape[0], -1, 4)
    low, high = 256 * w[..., 1] + w[..., 0], 256 * w[..., 3] + w[..., 2]
    return ((low & 0xFFFF) | ((high & 0xFFFF) << 16)).astype(np.uint32)


def initial_sums(rows: Array, b: Array, zero_x: int, scaling: Scaling) -> Array:
    """What each channel's sum starts from, for padded weights `rows` [out, K]: uint32 [out].

    256 * (bias - zero point * all weights + 127 * weights at odd places), modulo 2**32, with the shift in the
    low byte.
    """
    w = rows.astype(np.int64)
    start = b.astype(np.int64) - zero_x * w.sum(axis=1) + 127 * w[:, 1::2].sum(axis=1)
    sums: Array = ((256 * start) & 0xFFFFFFFF).astype(np.uint32) | scaling.low_bytes()
    return sums


def pair_stream(rows: Array, b: Array, zero_x: int, scaling: Scaling) -> Array:
    """The stream of `multiply_4x2` for weights [out, K]: uint32.

    For every pair of channels two initial sums, the interleaved words of weights, two multipliers. An odd last
    channel pairs with the one before it, a single channel with itself.
    """
    padded = pad_to_words(rows)
    words, sums = encode_words(padded), initial_sums(padded, b, zero_x, scaling)
    multipliers = scaling.multipliers.astype(np.uint32)
    out = rows.shape[0]
    parts = []
    for first in range(0, out, 2):
        start = max(min(first, out - 2), 0)
        pair = [start, min(start + 1, out - 1)]
        parts += [sums[pair], words[pair].T.ravel(), multipliers[pair]]
    return np.concatenate(parts)


def stream_bytes(out: int, inputs: int) -> int:
    """Flash of `pair_stream` for `out` channels of `inputs` weights each."""
    return (out + out % 2) * (-(-inputs // 4) * 4 + 8)


def helpers(prefix: str, parts: Iterable[str]) -> tuple[Function, ...]:
    """The named parts of the shared template as functions `<prefix>_<part>`, each after what it calls."""
    names = dict.fromkeys(name for part in parts for name in (*_REQUIRES.get(part, ()), part))
    return tuple(_part(part, prefix, f"{prefix}_{part}") for part in names)


def block_functions(prefix: str, scaling: Scaling) -> tuple[str, tuple[Function, ...]]:
    """The name of the function that computes a block of 4 pixels, and the functions it needs, itself last."""
    scale, functions = scaling.functions(prefix)
    name = f"{prefix}_block_{scaling.suffix}"
    block = _part("block", prefix, name, scale=scale, scaling=scaling)
    return name, (*functions, *helpers(prefix, ("multiply_4x2",)), block)


def expand_lanes(
    prefix: str, pixels: int, stride: int, *, wide: bool, lanes: int = 4
) -> tuple[str, tuple[Function, ...]]:
    """The name of the function that expands `pixels` pixels `stride` bytes apart into columns, with what it needs.

    With `wide` it only widens them to halfwords. Columns are `lanes` words wide, 4 or 3.
    """
    name = f"{prefix}_{'widen' if wide else 'expand'}{pixels}_{stride}" + ("_dense" if lanes == 3 else "")
    needed = helpers(prefix, ("sxtb16", "sxtb16_1") if wide else ("expand_word",))
    values = {"lanes": pixels, "spread": lanes, "stride": stride, "wide": wide}
    return name, (*needed, _part("expand_lanes", prefix, name, **values))


def _part(part: str, prefix: str, name: str, **values: object) -> Function:
    return Function(name, render("kernels/_dsp.j2", {"part": part, "prefix": prefix, "name": name, **values}))
