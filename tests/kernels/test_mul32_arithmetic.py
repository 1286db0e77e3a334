"""The identities behind the kernels for small cores: three sums in two words, and the high multiply of halves."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from edgeprune.kernels import _dsp, _mul32
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier
from edgeprune.templating import render
from tests.support.host_kernel import FLAGS, _compile

LARGEST = (1 << 23) - 1
LIMIT = 1 << 20


def test_three_sums_come_back_from_two_words():
    edges = np.array([-LIMIT, -LIMIT + 1, -(1 << 11), -1, 0, 1, (1 << 11) - 1, 1 << 11, LIMIT - 1])
    grid = np.stack(np.meshgrid(edges, edges, edges), axis=-1).reshape(-1, 3)
    random = np.random.default_rng(0).integers(-LIMIT, LIMIT, (2000, 3))
    decode = _decode_on_host()
    for s0, s1, s2 in np.concatenate([grid, random]).tolist():
        assert decode(s0 + (s2 << 21), s1 + (s2 << 10)) == (s0, s1, s2)


def test_chunks_of_any_weights_are_within_the_range():
    assert _mul32.CHUNK_TAPS % 4 == 0
    assert _mul32.CHUNK_TAPS * 128 * 128 < LIMIT
    assert _mul32.whole_is_exact(np.full((1, 63), -128, np.int8))
    assert not _mul32.whole_is_exact(np.full((1, 64), -128, np.int8))


@pytest.mark.parametrize("zero", [-128, -3, 127])
@pytest.mark.parametrize("kind", ["positive", "fast"])
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3"])
def test_requantisation_equals_the_definition(core, kind, zero):
    """For every shift and extreme multipliers: both ends of the range, around every tie, and at random."""
    low = zero if kind == "positive" else -128
    scaling = _dsp.Scaling(kind, zero, low, 127, np.zeros(1), np.zeros(1))
    scale = _scale_on_host(scaling, core)
    rng = np.random.default_rng(0)
    ends = np.concatenate([np.arange(-300, 300), LARGEST - np.arange(200), np.arange(200) - LARGEST])
    carries = (np.arange(-120, 120)[:, None] * (1 << 15) + np.arange(-2, 3)).ravel()
    for shift in range(1, 24):
        for multiplier in (1 << 30, (1 << 30) + 0xFFFF, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31))):
            ties = np.clip((2 * np.arange(-130, 131) + 1) << (shift - 1), -LARGEST, LARGEST)
            near = np.round(ties * (2.0**31 / multiplier)).astype(np.int64)
            around = np.clip(np.concatenate([near - 1, near, near + 1]), -LARGEST, LARGEST)
            acc = np.concatenate([ends, carries, around, rng.integers(-LARGEST, LARGEST, 500)])
            wanted = clamp_int8(multiply_by_quantized_multiplier(acc, multiplier, -shift) + zero, low, 127)
            np.testing.assert_array_equal(scale(acc, multiplier, shift), wanted)


def _decode_on_host():
    text = render("library/kernel_prologue.c.j2", {"prefix": "net"})
    text += render("kernels/_mul32.j2", {"part": "decode", "prefix": "net", "name": "net_decode"})
    text += (
        "\nvoid run_layer(uint32_t p, uint32_t q, int32_t *s);\n"
        "void run_layer(uint32_t p, uint32_t q, int32_t *s)\n{\n    net_decode(p, q, s, s + 1, s + 2);\n}\n"
    )
    function = _compile(text, tuple(FLAGS))
    out = (ctypes.c_int32 * 3)()

    def decode(p: int, q: int) -> tuple[int, ...]:
        function(ctypes.c_uint32(p & 0xFFFFFFFF), ctypes.c_uint32(q & 0xFFFFFFFF), out)
        return tuple(out)

    return decode


def _scale_on_host(scaling: _dsp.Scaling, core: str):
    """The layer's scaling function, compiled, as a function of accumulators, multiplier and right shift."""
    scale, functions = _mul32.scale_functions("net", scaling, core)
    limits = f", {scaling.low}, {scaling.high}" if scaling.clamps else ""
    signature = "void run_layer(const int32_t *sums, int8_t *y, int32_t n, int32_t multiplier, int32_t shift)"
    offset = scaling.offset("shift").replace("zero", f"({scaling.zero})")
    text = "\n".join(
        [
            render("library/kernel_prologue.c.j2", {"prefix": "net"}),
            *(function.text for function in functions),
            f"{signature};\n{signature}\n{{\n    for (int32_t i = 0; i < n; i++) {{",
            f"        y[i] = {scale}(sums[i], multiplier, shift, {offset}{limits});\n    }}\n}}",
        ]
    )
    function = _compile(text, tuple(FLAGS))

    def run(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
        sums, y = acc.astype(np.int32), np.zeros(len(acc), np.int8)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (sums, y))
        function(*pointers, len(acc), ctypes.c_int32(multiplier), ctypes.c_int32(shift))
        return y

    return run
