"""Convolution for the DSP extension against its reference, byte for byte, in its portable form on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.cases import CONVOLUTIONS, POINTWISE
from tests.support.dsp_kernels import (
    DSP,
    PLAIN,
    SCALINGS,
    assert_exact,
    candidates_of,
    scaled_by,
    with_weights,
)
from tests.support.host_kernel import reference, run_on_host

FAMILY = "conv_s8_dsp"


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_geometries(case):
    rng = np.random.default_rng(1)
    assert_exact(cases.conv_node(rng, **case), FAMILY, rng)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (2, 3), (3, 2), (4, 4), (7, 5)])
def test_residues_of_the_blocking(width, in_channels, out_channels):
    """Pixels modulo 4, inputs modulo 4 and output channels modulo 2."""
    rng = np.random.default_rng(width)
    node = cases.conv_node(
        rng, height=1, width=width, in_channels=in_channels, out_channels=out_channels, **POINTWISE
    )
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 9, 24, 25, 35])
def test_blocks_of_four_and_three(width):
    """Every number of pixels, scaled in registers; odd and even words of a window and channels go along."""
    rng = np.random.default_rng(width)
    node = cases.conv_node(
        rng, height=1, width=width, in_channels=3 + width, out_channels=2 + width % 3, **POINTWISE
    )
    assert_exact(scaled_by(node, 0.01, -128 if width % 3 else 3, (-128, 127)), FAMILY, rng)


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
    node = cases.conv_node(
        rng,
        height=height,
        width=width,
        in_channels=small(1, 9),
        out_channels=small(1, 5),
        kernel=kernel,
        strides=(small(1, 3), small(1, 3)),
        pads=pads,
        dilations=dilations,
    )
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


@pytest.mark.parametrize("zero_point", [-128, 127])
def test_largest_weights_and_inputs(zero_point):
    """Every pair of extremes at both places of a halfword, where the encoding comes nearest to overflow."""
    rng = np.random.default_rng(6)
    node = cases.conv_node(
        rng, height=4, width=4, in_channels=4, out_channels=16, zero_point=zero_point, **POINTWISE
    )
    corners = np.array([[127 if bit >> i & 1 else -127 for i in range(4)] for bit in range(16)])
    node = with_weights(node, corners.reshape(16, 1, 1, 4), np.zeros(16))
    x = np.array([[127 if bit >> i & 1 else -128 for i in range(4)] for bit in range(16)], np.int8)
    values = {"x": x.reshape(1, 4, 4, 4)}
    for candidate in candidates_of(node, FAMILY):
        found = run_on_host(candidate, values)["y"]
        np.testing.assert_array_equal(found, reference((node,), values)["y"], err_msg=candidate.name)


def test_refuses_what_it_cannot_prove():
    rng = np.random.default_rng(7)
    node = cases.conv_node(rng, in_channels=4, out_channels=2, zero_point=-128, **POINTWISE)
    family = families()[FAMILY]
    candidate, *_ = candidates_of(with_weights(node, np.full((2, 1, 1, 4), -127), np.zeros(2)), FAMILY)

    def admits(w: int, b: int) -> bool:
        other = with_weights(node, np.full((2, 1, 1, 4), w), np.full(2, b))
        return family.admits(candidate, weights_of((other,)))

    assert admits(127, (1 << 23) - 1 - 127 * 255 * 4)
    assert not admits(127, (1 << 23) - 127 * 255 * 4)
    assert not admits(-128, 0)
    assert not admits(0, -(1 << 23))
    assert family.candidates((node,), PLAIN) == ()
    assert family.candidates((cases.conv_node(rng, in_channels=4, out_channels=4, group=2),), DSP) == ()
