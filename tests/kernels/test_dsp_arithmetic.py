"""The identities behind the DSP kernels: borrow encoding, and the short forms of requantisation."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from edgeprune.kernels import _dsp
from edgeprune.ops._fixed_point import clamp_int8, multiply_by_quantized_multiplier
from edgeprune.templating import render
from tests.support.host_kernel import FLAGS, _compile

LARGEST = (1 << 23) - 1


def test_expanded_activations_fit_halfwords():
    x0, x1 = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    odd = x1 - 127
    even = 256 * x0 - odd
    assert odd.min() >= -32768
    assert odd.max() <= 32767
    assert even.min() >= -32768
    assert even.max() <= 32767


def test_pairs_of_weights_fit_halfwords_and_give_the_sum():
    w0, w1 = np.meshgrid(np.arange(-127, 128), np.arange(-127, 128))
    pair = 256 * w1 + w0
    assert abs(pair).max() <= 32767
    np.testing.assert_array_equal(((pair & 0xFF) ^ 0x80) - 0x80, w0)
    for x0 in (-128, -1, 0, 127):
        for x1 in (-128, -1, 0, 127):
            odd = x1 - 127
            total = pair * odd + w0 * (256 * x0 - odd)
            np.testing.assert_array_equal(total, 256 * (w0 * x0 + w1 * (x1 - 127)))


@pytest.mark.parametrize("zero", [-128, -3, 127])
@pytest.mark.parametrize("kind", ["positive", "fast"])
def test_short_requantisation_equals_the_definition(kind, zero):
    """For every shift and extreme multipliers: both ends of the range, around every tie, and at random."""
    low = zero if kind == "positive" else -128
    scaling = _dsp.Scaling(kind, zero, low, 127, np.zeros(1), np.zeros(1))
    scale = _scale_on_host(scaling)
    rng = np.random.default_rng(0)
    ends = np.concatenate([np.arange(-300, 300), LARGEST - np.arange(200), np.arange(200) - LARGEST])
    for shift in range(1, 24):
        for multiplier in (1 << 30, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31))):
            ties = np.clip((2 * np.arange(-130, 131) + 1) << (shift - 1), -LARGEST, LARGEST)
            near = np.round(ties * (2.0**31 / multiplier)).astype(np.int64)
            around = np.clip(np.concatenate([near - 1, near, near + 1]), -LARGEST, LARGEST)
            acc = np.concatenate([ends, around, rng.integers(-LARGEST, LARGEST, 500)])
            wanted = clamp_int8(multiply_by_quantized_multiplier(acc, multiplier, -shift) + zero, low, 127)
            np.testing.assert_array_equal(scale(acc, multiplier, shift), wanted)


def _scale_on_host(scaling: _dsp.Scaling):
    """The layer's scaling function, compiled, as a function of accumulators, multiplier and right shift."""
    name, functions = scaling.functions("net")
    loop = f"""
void run_layer(const int32_t *sums, int8_t *y, int32_t count, int32_t multiplier, int32_t shift, {scaling.parameters});
void run_layer(const int32_t *sums, int8_t *y, int32_t count, int32_t multiplier, int32_t shift, {scaling.parameters})
{{
    const int32_t offset = {scaling.offset("shift")};
    for (int32_t i = 0; i < count; i++) {{
        y[i] = {name}(sums[i], multiplier, shift, offset{scaling.limits});
    }}
}}
"""
    prologue = render("library/kernel_prologue.c.j2", {"prefix": "net"})
    run = _compile("\n".join([prologue, *(f.text for f in functions), loop]), tuple(FLAGS))

    def scale(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
        sums, y = (256 * acc + shift).astype(np.int32), np.empty(len(acc), np.int8)
        limits = (scaling.zero, scaling.low, scaling.high) if scaling.clamps else (scaling.zero,)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (sums, y))
        run(*pointers, len(acc), multiplier, shift, *limits)
        return y

    return scale
