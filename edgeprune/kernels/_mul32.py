"""What the kernels for cores with nothing but a 32-bit multiplication share: Cortex-M0+, Cortex-M3, RV32.

**Three sums in two words.** Inputs of three output pixels, x0, x1 and x2, that meet the same weight are packed into

    P = x0 + 2**21 * x2        Q = x1 + 2**10 * x2        (modulo 2**32)

and two multiplications add weight * P and weight * Q to two words, so that two products replace three. With S0, S1
and S2 the three sums, the words end as

    p = S0 + 2**21 * S2        q = S1 + 2**10 * S2        (modulo 2**32)

Whatever wrapped on the way, these congruences determine the sums where all three are in [-2**20, 2**20):

* p's low 21 bits, sign-extended, are S0; then (p - S0) >> 21 is the remainder r of S2 by 2**11;
* q - 2**10 * r = S1 + 2**21 * h with S2 = r + 2**11 * h, so its low 21 bits, sign-extended, are S1, and h, within
  [-2**9, 2**9), is what lies above.

A sum over `CHUNK_TAPS` = 60 products of int8 is below 60 * 2**14 < 2**20 for any weights; longer sums are either proven
by their weights, over every input ("whole"), or decoded every 60 products ("chunks").

**Requantisation** is TensorFlow Lite's, in the forms that `_dsp.Scaling` proves; `high_multiply` of the template has a
form of four 16-bit multiplications for cores that have no long one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.kernels._dsp import Scaling
from edgeprune.kernels.base import Function
from edgeprune.ops._convolution import accumulator_bounds
from edgeprune.templating import render

__all__ = [
    "CHANNELS",
    "CHUNK_TAPS",
    "CORES",
    "LANES",
    "Instructions",
    "block_functions",
    "channel_heads",
    "pack_function",
    "padded_taps",
    "row_functions",
    "scale_functions",
    "single_function",
    "stream",
    "stream_bytes",
    "whole_is_exact",
]

LANES = 3
"""Output pixels whose inputs share two words."""
CHANNELS = 4
"""Output channels at a time: a word of weights."""
CHUNK_TAPS = 60
"""Products after which sums of any int8 weights still decode; a multiple of 4."""
_LARGEST_SUM = (1 << 20) - 1


@dataclass(frozen=True)
class Instructions:
    """What the generated code takes on a core, counted there."""

    isa: str
    """Assembly of the multiplication: "thumb2", "thumb1", or "" for C."""
    tap: float
    """Multiplying one tap of three pixels with four channels."""
    group: float
    """Each call that does so, with the loop around it."""
    scale: float
    """Decoding, scaling and storing one channel of three pixels."""
    pack: float
    """Packing one tap of three pixels."""
    single: float
    """Multiplying one input with four channels (fully connected)."""
    output: float
    """Scaling and storing one sum that needs no decoding."""
    load: float
    """Loading an input or weight (depthwise)."""
    product: float
    """Adding one product to its sum (depthwise)."""
    outputs: int
    """Depthwise sums that the registers hold."""


_RV32 = Instructions("", 25, 60, 71, 11, 14, 16, 1, 2.1, 6)

CORES: Mapping[str, Instructions] = MappingProxyType(
    {
        "cortex-m0plus": Instructions("thumb1", 29, 80, 133, 14, 19.5, 40, 2, 2.3, 5),
        "cortex-m3": Instructions("thumb2", 15.75, 58, 47, 9, 10.7, 9, 1, 1, 5),
        "rv32imc": _RV32,
        "rv32imac": _RV32,
    }
)
"""The cores these kernels are for. Others do better with what they have."""


def padded_taps(taps: int) -> int:
    """Taps with those of weight zero that fill the last four."""
    return -(-taps // 4) * 4


def whole_is_exact(rows: Array) -> bool:
    """Whether the sums over weights `rows` [out, taps] of int8 inputs are in [-2**20, 2**20) for every input."""
    low, high = accumulator_bounds(0, rows, np.zeros(len(rows), np.int64))
    return bool(low.min() >= -_LARGEST_SUM and high.max() <= _LARGEST_SUM)


def channel_heads(rows: Array, bias: Array, zero_x: int, scaling: Scaling) -> Array:
    """256 * (bias - zero point * all weights) + shift, and the multiplier, of each channel: uint32 [out, 2].

    The first is what the accumulator would be for inputs of 0, so below 2**23 as every accumulator is.
    """
    start = bias.astype(np.int64) - zero_x * rows.astype(np.int64).sum(axis=1)
    first = ((256 * start) & 0xFFFFFFFF).astype(np.uint32) | scaling.low_bytes()
    return np.stack([first, scaling.multipliers.astype(np.uint32)], axis=1)


def stream(rows: Array, bias: Array, zero_x: int, scaling: Scaling) -> Array:
    """Weights [out, taps] as the functions read them: uint32.

    For every four channels their heads, then for each tap a word with the weights of the four; missing channels and
    taps are zeros.
    """
    out, taps = rows.shape
    missing = -out % CHANNELS
    heads = np.pad(channel_heads(rows, bias, zero_x, scaling), ((0, missing), (0, 0)))
    padded = np.pad(rows, ((0, missing), (0, padded_taps(taps) - taps))).astype(np.int8)
    words = padded.reshape(-1, CHANNELS, padded.shape[1]).transpose(0, 2, 1).copy().view("<u4")[..., 0]
    return np.concatenate([heads.reshape(len(words), -1), words.astype(np.uint32)], axis=1).ravel()


def stream_bytes(out: int, taps: int) -> int:
    """Flash of `stream`."""
    return -(-out // CHANNELS) * CHANNELS * (8 + padded_taps(taps))


def scale_functions(prefix: str, scaling: Scaling, core: str) -> tuple[str, tuple[Function, ...]]:
    """The function that scales one accumulator to an output, by name, and what it needs, itself last."""
    saturate = _part("saturate", prefix, f"{prefix}_saturate8")
    halves = CORES[core].isa == "thumb1"
    name = f"{prefix}_scale32_{scaling.suffix}"
    scale = _part("scale", prefix, name, scaling=scaling, halves=halves, saturate=saturate.name)
    return name, (scale,) if scaling.clamps else (saturate, scale)


def block_functions(
    prefix: str, scaling: Scaling, core: str, *, chunks: bool
) -> tuple[str, tuple[Function, ...]]:
    """The function that computes all channels of three pixels, by name, and what it needs, itself last."""
    scale, scales = scale_functions(prefix, scaling, core)
    multiply = _part("multiply", prefix, f"{prefix}_multiply_3x4", isa=CORES[core].isa)
    decode = _part("decode", prefix, f"{prefix}_decode_3")
    name = f"{prefix}_block_3{'_chunks' if chunks else ''}_{scaling.suffix}"
    names = {"scale": scale, "multiply": multiply.name, "decode": decode.name}
    chunk = CHUNK_TAPS if chunks else 0
    block = _part("block", prefix, name, scaling=scaling, chunk=chunk, **names)
    return name, (*scales, multiply, decode, block)


def single_function(prefix: str, core: str) -> Function:
    """The function that multiplies one row of inputs with four channels.

    It reads weights by the word where the core takes bytes out of a word in one instruction or two, and four inputs
    in a row where the registers hold that much.
    """
    isa = CORES[core].isa
    name = f"{prefix}_multiply_1x4_{'words' if isa else 'bytes'}"
    return _part("single", prefix, name, words=bool(isa), unrolled=isa != "thumb1")


def row_functions(prefix: str) -> tuple[Function, Function]:
    """The functions that copy a row of inputs and fill rows with padding."""
    return _part("copy", prefix, f"{prefix}_copy_row"), _part("fill", prefix, f"{prefix}_fill_bytes")


def pack_function(prefix: str) -> Function:
    """The function that packs a stretch of inputs of three pixels."""
    return _part("pack", prefix, f"{prefix}_pack_3")


def _part(part: str, prefix: str, name: str, **values: object) -> Function:
    template = "kernels/_mul32_products.j2" if part in ("multiply", "single") else "kernels/_mul32.j2"
    return Function(name, render(template, {"part": part, "prefix": prefix, "name": name, **values}))
