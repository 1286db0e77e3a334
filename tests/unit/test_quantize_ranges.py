"""From histograms to scales."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.quantize.observe import BINS, Histogram
from edgeprune.quantize.ranges import RULES, activation_quant, choose_range
from edgeprune.quantize.weights import channel_scales, quantize_bias, quantize_weight, widen_for_bias

FLOATS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(FLOATS, FLOATS)
def test_a_range_is_covered_and_zero_is_exact(a, b):
    low, high = min(a, b), max(a, b)
    quant = activation_quant(low, high)
    scale, zero = quant.scale[0], quant.zero_point[0]
    assert scale > 0
    assert np.float32(scale) == scale
    assert -128 <= zero <= 127
    slack = scale * 0.5001 + 1e-30  # the zero point is rounded
    assert (-128 - zero) * scale <= min(low, 0) + slack
    assert (127 - zero) * scale >= max(high, 0) - slack
    if low >= 0:
        assert zero == -128


def histogram(values):
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, BINS, (low, high))
    return Histogram(low, high, counts)


def squared_error(values, low, high):
    quant = activation_quant(low, high)
    scale, zero = quant.scale[0], quant.zero_point[0]
    stored = np.clip(np.rint(values / scale) + zero, -128, 127)
    return float(np.square((stored - zero) * scale - values).mean())


def test_rules_on_heavy_tails():
    values = np.random.default_rng(0).standard_t(4, 200_000)
    ranges = {rule: choose_range(histogram(values), rule) for rule in RULES}
    errors = {rule: squared_error(values, *ends) for rule, ends in ranges.items()}
    assert ranges["min-max"] == (values.min(), values.max())
    best = min(squared_error(values, -low, high) for low in range(6, 30, 2) for high in range(6, 30, 2))
    assert errors["least-squares"] < 0.75 * errors["min-max"]
    assert errors["least-squares"] < 1.03 * best
    assert errors["least-squares"] <= errors["percentile"] * 1.01


def test_rules_on_constants():
    for value in (0.0, 3.0, -2.0):
        constant = histogram(np.full(100, value)) if value else Histogram(0.0, 0.0, np.zeros(BINS))
        for rule in RULES:
            quant = activation_quant(*choose_range(Histogram(value, value, constant.counts), rule))
            stored = np.clip(np.rint(value / quant.scale[0]) + quant.zero_point[0], -128, 127)
            assert abs((stored - quant.zero_point[0]) * quant.scale[0] - value) <= abs(value) / 250


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, None]))
def test_weights_are_symmetric_and_within_half_a_step(seed, axis):
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((3, 4, 2)).astype(np.float32) * 10.0 ** generator.integers(-6, 6)
    weight[1, 1] = 0
    scales = channel_scales(weight, axis)
    stored = quantize_weight(weight, scales, axis)
    assert stored.min() >= -127
    shape = [-1 if other == axis else 1 for other in range(3)]
    error = np.abs(stored * scales.astype(np.float64).reshape(shape) - weight)
    assert (error <= scales.reshape(shape) * 0.5001).all()


def test_biases_fit_int32():
    scales = np.array([1e-3, 1e-30], np.float32)
    bias = np.array([0.5, -2.0, 0.25, 1.0], np.float32)  # two groups
    wide = widen_for_bias(scales, 0.1, bias)
    stored, product = quantize_bias(bias, 0.1, wide)
    assert wide[0] == scales[0]
    assert np.abs(stored).max() <= 2**30 + 128
    np.testing.assert_allclose(stored * product.astype(np.float64), bias, rtol=1e-3)
