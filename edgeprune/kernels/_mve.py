"""Scaling and packing shared by the kernels for Helium, the M-profile vector extension.

**Sums.** VMLADAVA.S8 adds 16 products to a word. Sums are over the raw inputs; the zero point is folded into the
initial sum, bias - zero point * all weights, because padding is written out as the zero point. Sums wrap modulo
2**32 on the way, which is harmless: the finished accumulator is within int32 for every input, as `ops` checks for
every model. So any int8 weights do, -128 included.

**Requantisation.** VQRDMULH.S32 is (2ab + 2**31) >> 32, saturated only for a = b = -2**31: with a multiplier >= 0
that is TensorFlow Lite's saturating rounding doubling high multiply. VRSHL.S32 by -n is (h + 2**(n-1)) >> n. The
reference rounds half away from zero: for h < 0 that is (h - 1 + 2**(n-1)) >> n, because both step up from the floor
where the remainder is above 2**(n-1), and at 2**(n-1) + 1 first. h - 1 does not wrap, since a multiplier below 2**31
keeps h above -2**31. `Scaling` says when the correction can be left out, or must be for a shift of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels._scaling import OutputScaling
from edgeprune.kernels.base import Constant, Function, Weights
from edgeprune.ops._convolution import requantized_multipliers
from edgeprune.templating import render

__all__ = [
    "LANES",
    "Form",
    "Scaling",
    "helpers",
    "initial_sums",
    "interleaved_stream",
    "packed",
    "padded",
    "pixels",
    "products",
    "stream_bytes",
    "take_apart",
]

LANES = 16
"""Bytes of a vector register."""

_MOST_CHUNKS = 8
"""Vectors of a window whose products are one straight line; offsets of loads reach as far."""

_PRODUCTS = ("multiply", "multiply_row")
"""Parts of the template of products; others are of that of what is shared besides."""


@dataclass(frozen=True)
class Form:
    """How products of a window of `taps` inputs are laid out in code.

    As one straight line of `chunks` vectors; or as a loop over `steps` such lines; or, with 0 chunks, as a loop over
    vectors that is predicated by the number of inputs, which is then `steps`.
    """

    taps: int
    chunks: int
    looped: bool

    @staticmethod
    def of(taps: int, *, whole: bool) -> Form:
        """The fastest form; `whole` says that whole vectors may be read behind a window's last input."""
        vectors = -(-taps // LANES)
        if taps % LANES and not whole:
            return Form(taps, 0, looped=True)
        if vectors <= _MOST_CHUNKS:
            return Form(taps, vectors, looped=False)
        divisor = max(n for n in range(1, _MOST_CHUNKS + 1) if vectors % n == 0)
        return Form(taps, divisor if divisor > 1 else 0, looped=True)

    @staticmethod
    def of_vectors(vectors: Sequence[int]) -> tuple[Form, ...]:
        """The fastest form for windows of so many whole vectors each, the same code for all of them."""
        same = Form.of(LANES * math.gcd(*vectors), whole=True)
        looped = same.looped or len(set(vectors)) > 1
        chunks = same.chunks if same.chunks > 1 or not looped else 0
        return tuple(Form(LANES * count, chunks, looped) for count in vectors)

    @property
    def steps(self) -> int:
        """The argument of the same name in C."""
        return -(-self.taps // LANES) // self.chunks if self.chunks else self.taps

    @property
    def suffix(self) -> str:
        """Names the form in the names of functions."""
        if not self.chunks:
            return "any"
        return f"by{self.chunks}" if self.looped else f"of{self.chunks}"


def padded(count: int) -> int:
    """`count` rounded up to whole vectors of bytes."""
    return -(-count // LANES) * LANES


@dataclass(frozen=True)
class Scaling(OutputScaling):
    """As `requantize` of the template does it."""

    @staticmethod
    def of(node: Node) -> Scaling:
        """The cheapest form that is exact for the layer's scales: see the file's head.

        A multiplier of 0 gives 0 at any shift. Where no output is shifted by less than 1 to the right, the
        correction of negative values applies to all of them.
        """
        multipliers, shifts = requantized_multipliers(node)
        shifts = np.where(multipliers == 0, -1, shifts)
        low, high = node.ints("clamp")
        zero = node.output.zero_point
        kind = "general" if (shifts >= 0).any() else ("positive" if zero <= low else "fast")
        return Scaling(kind, zero, low, high, multipliers, shifts)

    @property
    def words(self) -> int:
        """Words of constants per output channel."""
        return 3 if self.kind == "general" else 2

    @property
    def flash_bytes(self) -> int:
        """Of `constant`."""
        return 4 * self.words * padded(len(self.shifts))

    @property
    def limits(self) -> str:
        """The C expressions of low and high."""
        return "low, high" if self.clamps else "-128, 127"

    def table(self) -> Array:
        """Multipliers and shifts as `requantize` reads them: int32 [groups of 16, 4, kinds of number, 4]."""
        columns = [self.multipliers, np.minimum(self.shifts, 0)]
        if self.kind == "general":
            columns.insert(1, np.maximum(self.shifts, 0))
        table: Array = np.stack([take_apart(column) for column in columns], axis=2).astype(np.int32)
        return table

    def constant(self) -> Constant:
        """`table` in a constant of its own."""
        return Constant("scaling", "int32_t", self.table(), "multipliers and shifts of 16 channels", align=8)


def take_apart(values: Array) -> Array:
    """`values` [channels], with zeros up to a multiple of 16, as [groups of 16, 4, 4]: every fourth together."""
    whole = np.pad(values, (0, -len(values) % LANES))
    groups: Array = whole.reshape(-1, 4, 4).transpose(0, 2, 1)
    return groups


def initial_sums(rows: Array, b: Array, zero_x: int) -> Array:
    """What each channel's sum starts from, for weights `rows` [out, K]: int32 [out], modulo 2**32."""
    start = b.astype(np.int64) - zero_x * rows.astype(np.int64).sum(axis=1)
    sums: Array = (start & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    return sums


def packed(
    node: Node, rows: Array, weights: Weights, stream: Callable[[Array, Array], Array], comment: str
) -> tuple[Constant, Constant]:
    """The constants of `node`, with inputs x, w, b: what `stream` makes of weights and initial sums, and the scaling.

    Weights are `rows` [out, K], initial sums [out].
    """
    x, _, b = node.inputs
    starts = initial_sums(rows, weights[b.name], x.zero_point)
    return Constant("stream", "int8_t", stream(rows, starts), comment, align=8), Scaling.of(node).constant()


def interleaved_stream(rows: Array, starts: Array, together: int) -> Array:
    """Weights [out, K] and initial sums [out] as the stream that `together` channels at a time are read from: int8.

    For every group of channels their initial sums, then by turns 16 weights of each; zeros fill channels and taps up.
    """
    out, taps = rows.shape
    w = np.pad(rows, ((0, -out % together), (0, padded(taps) - taps)))
    w = w.reshape(-1, together, padded(taps) // LANES, LANES).transpose(0, 2, 1, 3)
    sums = np.pad(starts, (0, -out % together)).astype("<i4").reshape(-1, together)
    return np.concatenate([sums.view(np.int8), w.reshape(len(sums), -1)], axis=1).ravel()


def stream_bytes(out: int, taps: int, together: int) -> int:
    """Flash of `interleaved_stream`."""
    return -(-out // together) * together * (4 + padded(taps))


def helpers(prefix: str, parts: Iterable[str], scaling: Scaling) -> tuple[Function, ...]:
    """The named parts of the shared template as functions."""
    return tuple(_part(part, prefix, scaling=scaling) for part in parts)


def products(prefix: str, form: Form) -> tuple[Function, ...]:
    """The functions that multiply three and two windows next to each other with pairs of output channels."""
    return tuple(
        _part("multiply", prefix, f"{prefix}_mve_multiply_{count}x2_{form.suffix}", pixels=count, form=form)
        for count in (3, 2)
    )


def pixels(prefix: str, scaling: Scaling, form: Form, adding: Function | None = None) -> tuple[Function, ...]:
    """The function that computes pixels next to each other, last, and what it needs.

    With `adding`, `vector_sum` of `add_s8_mve`, outputs are sums with another tensor's elements.
    """
    name = f"{prefix}_mve_pixels_{form.suffix}_{scaling.suffix}"
    name += "" if adding is None else adding.name.removeprefix(f"{prefix}_mve")
    sums = () if adding is None else (adding, *helpers(prefix, ("sum_t",), scaling))
    values = {"scaling": scaling, "form": form, "adding": None if adding is None else adding.name}
    return (
        *helpers(prefix, ("layer_t", "requantize"), scaling),
        *products(prefix, form),
        *sums,
        _part("pixels", prefix, name, **values),
    )


def _part(part: str, prefix: str, name: str | None = None, **values: object) -> Function:
    if name is None:
        scaling = values["scaling"]
        name = f"{prefix}_mve_{part}"
        if part == "requantize":
            assert isinstance(scaling, Scaling)
            name += f"_{scaling.suffix}"
    template = "_mve_products" if part in _PRODUCTS else "_mve"
    return Function(
        name, render(f"kernels/{template}.j2", {"part": part, "prefix": prefix, "name": name, **values})
    )
