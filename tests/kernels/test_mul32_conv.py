"""Convolution for cores with a 32-bit multiplication only, byte for byte, in its portable form on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.cases import CONVOLUTIONS, POINTWISE
from tests.support.dsp_kernels import DSP, SCALINGS, candidates_of, scaled_by, with_weights
from tests.support.host_kernel import reference, run_on_host
from tests.support.mul32_kernels import M3, assert_exact

FAMILY = "conv_s8_mul32"


@pytest.mark.parametrize("case", [case for case in CONVOLUTIONS if "batch" not in case], ids=str)
def test_geometries(case):
    rng = np.random.default_rng(1)
    assert_exact(cases.conv_node(rng, **case), FAMILY, rng)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (2, 3), (3, 2), (4, 4), (7, 5)])
def test_residues_of_the_blocking(width, in_channels, out_channels):
    """Pixels modulo 3, inputs and output channels modulo 4."""
    rng = np.random.default_rng(width)
    node = cases.conv_node(
        rng, height=1, width=width, in_channels=in_channels, out_channels=out_channels, **POINTWISE
    )
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize("taps", [60, 61, 64, 119, 120, 125])
def test_residues_of_chunks(taps):
    """-128 among the weights; sums of 64 taps and more may leave the range of whole sums."""
    rng = np.random.default_rng(taps)
    node = cases.conv_node(rng, height=1, width=4, in_channels=taps, extremes=True, **POINTWISE)
    assert_exact(node, FAMILY, rng)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, dilations = (small(1, 4), small(1, 4)), (small(1, 2), small(1, 2))
    pads = tuple(small(0, 3) for _ in range(4))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    height = max(small(1, 7), extents[0] - pads[0] - pads[2])
    width = max(small(1, 7), extents[1] - pads[1] - pads[3])
    rng = np.random.default_rng(small(0, 1000))
    sizes = {"height": height, "width": width, "in_channels": small(1, 9), "out_channels": small(1, 5)}
    strides = (small(1, 3), small(1, 3))
    node = cases.conv_node(rng, **sizes, kernel=kernel, strides=strides, pads=pads, dilations=dilations)
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize(
    ("real", "zero_point", "clamp"), [s[1:] for s in SCALINGS], ids=[s[0] for s in SCALINGS]
)
def test_requantisation_forms(real, zero_point, clamp):
    rng = np.random.default_rng(5)
    node = cases.conv_node(rng, height=6, width=6, in_channels=2, out_channels=6, **POINTWISE)
    if real > 0.1:
        node = with_weights(node, rng.integers(-1, 2, (6, 1, 1, 2)), rng.integers(-20, 20, 6))
    assert_exact(scaled_by(node, real, zero_point, clamp), FAMILY, rng)


@pytest.mark.parametrize("chunks", [0, 1])
@pytest.mark.parametrize("weight", [127, -127, -128])
def test_largest_sums(weight, chunks):
    """Extremes of weights and inputs, all of one sign and of either, where the three sums come nearest to meeting."""
    rng = np.random.default_rng(6)
    node = cases.conv_node(rng, height=1, width=8, in_channels=63, out_channels=4, zero_point=0, **POINTWISE)
    w = np.full((4, 1, 1, 63), weight) * np.array([1, 1, 0, 1]).reshape(4, 1, 1, 1)
    node = with_weights(node, np.clip(w, -128, 127), np.zeros(4))
    x = np.array([[127 if bit >> lane & 1 else -128 for lane in range(3)] for bit in range(8)], np.int8)
    candidate = candidates_of(node, FAMILY, M3)[chunks]
    for lanes in x:
        pixels = np.repeat(np.resize(lanes, 8)[:, None], 63, axis=1).reshape(1, 1, 8, 63)
        got = run_on_host(candidate, {"x": pixels})["y"]
        np.testing.assert_array_equal(got, reference((node,), {"x": pixels})["y"])


def test_refuses_what_it_cannot_prove():
    rng = np.random.default_rng(7)
    family = families()[FAMILY]
    node = cases.conv_node(rng, in_channels=128, out_channels=2, zero_point=0, **POINTWISE)
    whole, chunks = family.candidates((node,), M3)

    def admitted_with(w: int, b: int) -> tuple[bool, bool]:
        other = weights_of((with_weights(node, np.full((2, 1, 1, 128), w), np.full(2, b)),))
        return family.admits(whole, other), family.admits(chunks, other)

    assert admitted_with(63, 0) == (True, True)
    assert admitted_with(64, 0) == (False, True)
    assert admitted_with(63, 1 << 23) == (False, False)
    assert family.candidates((node,), DSP) == ()
    for case in ({"group": 2}, {"batch": 2}):
        other = cases.conv_node(rng, in_channels=4, out_channels=4, **case)
        assert family.candidates((other,), M3) == ()
