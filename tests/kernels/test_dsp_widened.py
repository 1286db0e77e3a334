"""Convolution over widened rows against its reference, byte for byte, in its portable form on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, scaled_by, with_weights
from tests.support.host_kernel import reference, run_on_host

FAMILY = "conv_s8_dsp_widened"
SHORT = (-128, 127)

CASES = [
    {"in_channels": 3},
    {"in_channels": 1, "kernel": (10, 4), "pads": (4, 1, 5, 1), "strides": (2, 2), "height": 13, "width": 10},
    {"in_channels": 3, "strides": (2, 2), "pads": (0, 0, 1, 1), "height": 8, "width": 8, "out_channels": 3},
    {"in_channels": 1, "kernel": (5, 5), "pads": (2, 2, 2, 2), "height": 7, "width": 6},
    {"in_channels": 2, "kernel": (2, 3), "pads": (0, 0, 0, 0), "strides": (3, 1), "height": 12},
    {"in_channels": 3, "kernel": (1, 3), "pads": (0, 1, 0, 1), "strides": (1, 3), "width": 11},
    {"in_channels": 1, "kernel": (3, 1), "pads": (3, 0, 3, 0), "strides": (1, 1), "height": 3, "width": 3},
    {"in_channels": 3, "pads": (3, 4, 2, 4), "height": 2, "width": 2, "out_channels": 5},
    {"in_channels": 1, "kernel": (3, 3), "pads": (0, 0, 0, 0), "strides": (1, 4), "height": 6, "width": 14},
]


def short(node, zero_point: int = 3):
    """`node` without a clamp or a left shift."""
    return scaled_by(node, 0.01, zero_point, SHORT)


@pytest.mark.parametrize("zero_point", [-128, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_geometries(case, zero_point):
    rng = np.random.default_rng(1)
    assert_exact(short(cases.conv_node(rng, **case), zero_point), FAMILY, rng)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 7, 9])
def test_heights_of_strips(height):
    """Every sum of strips, odd and even rows of outputs' columns and channels."""
    rng = np.random.default_rng(height)
    node = cases.conv_node(rng, in_channels=3, height=height, width=3 + height, out_channels=2 + height % 3)
    assert_exact(short(node), FAMILY, rng)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    rng = np.random.default_rng(small(0, 1000))
    node = cases.conv_node(
        rng,
        height=small(4, 9),
        width=small(4, 9),
        in_channels=small(1, 3),
        out_channels=small(2, 6),
        kernel=(small(2, 4), small(1, 4)),
        strides=(small(1, 3), small(1, 3)),
        pads=tuple(small(0, 2) for _ in range(4)),
        extremes=True,
    )
    assert_exact(short(node), FAMILY, rng)


@pytest.mark.parametrize("zero_point", [-128, 127])
def test_largest_weights_and_inputs(zero_point):
    rng = np.random.default_rng(6)
    node = cases.conv_node(rng, height=4, width=4, in_channels=3, out_channels=2, zero_point=zero_point)
    weights = np.stack([np.full((3, 3, 3), -128), np.full((3, 3, 3), 127)])
    node = short(with_weights(node, weights, np.zeros(2)))
    for extreme in (-128, 127):
        values = {"x": np.full((1, 4, 4, 3), extreme, np.int8)}
        for candidate in candidates_of(node, FAMILY):
            found = run_on_host(candidate, values)["y"]
            np.testing.assert_array_equal(found, reference((node,), values)["y"])


@pytest.mark.parametrize(
    "case",
    [
        {"in_channels": 16},
        {"in_channels": 3, "out_channels": 1},
        {"in_channels": 3, "dilations": (2, 2), "height": 9, "width": 9},
        {"in_channels": 3, "kernel": (1, 1), "pads": (0, 0, 0, 0)},
        {"in_channels": 3, "batch": 2},
        {"in_channels": 3, "height": 9, "width": 600},
    ],
    ids=str,
)
def test_refuses_what_it_is_not_for(case):
    node = short(cases.conv_node(np.random.default_rng(7), **case))
    assert not families()[FAMILY].candidates((node,), DSP)


def test_refuses_clamps_and_cores_without_the_extension():
    node = cases.conv_node(np.random.default_rng(8), in_channels=3)
    assert not families()[FAMILY].candidates((scaled_by(node, 0.01, 3, (-90, 127)),), DSP)
    assert not families()[FAMILY].candidates((short(node),), PLAIN)
