"""Depthwise convolution for the DSP extension against its reference, byte for byte, on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, scaled_by, with_weights
from tests.support.host_kernel import reference, run_on_host

FAMILY = "depthwise_s8_dsp"


def depthwise(rng: np.random.Generator, channels: int, **case) -> Node:
    case = {"extremes": True, **case}
    return cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)


CASES = [
    (4, {}),
    (9, {"height": 5, "width": 7}),
    (8, {"strides": (2, 2), "pads": (0, 0, 1, 1)}),
    (5, {"strides": (2, 2), "height": 7, "width": 9}),
    (5, {"kernel": (5, 5), "strides": (2, 1), "pads": (2, 2, 2, 2)}),
    (6, {"strides": (3, 3)}),
    (4, {"kernel": (1, 4), "pads": (0, 2, 0, 1), "per_tensor": True}),
    (4, {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0), "width": 7}),
    (4, {"dilations": (2, 1), "pads": (2, 1, 2, 1)}),
    (4, {"kernel": (4, 5), "strides": (1, 4), "width": 13, "pads": (5, 3, 4, 6)}),
    (4, {"kernel": (1, 1), "pads": (0, 0, 0, 0), "strides": (2, 3)}),
    (4, {"dilations": (2, 3), "strides": (1, 2), "pads": (2, 3, 2, 3), "width": 9}),
    (4, {"kernel": (9, 1), "pads": (4, 0, 4, 0), "height": 11, "width": 3}),
]


@pytest.mark.parametrize(("channels", "case"), CASES, ids=str)
def test_geometries(channels, case):
    rng = np.random.default_rng(1)
    assert_exact(depthwise(rng, channels, **case), FAMILY, rng)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6])
def test_residues_of_pairs(width, stride):
    """Odd and even rows; channels modulo 4 go along."""
    rng = np.random.default_rng(width)
    assert_exact(depthwise(rng, width, height=3, width=width, strides=(1, stride)), FAMILY, rng)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, dilations = (small(1, 5), small(1, 5)), (small(1, 2), small(1, 2))
    windows = tuple((taps - 1) * step + 1 for taps, step in zip(kernel, dilations, strict=True))
    pads = (small(0, 5), small(0, windows[1] - 1), small(0, 5), small(0, 5))
    height = max(small(1, 8), windows[0] - pads[0] - pads[2])
    width = max(small(1, 8), windows[1] - pads[1] - pads[3])
    rng = np.random.default_rng(small(0, 1000))
    strides = (small(1, 3), small(1, 3))
    shape = {"height": height, "width": width, "kernel": kernel, "pads": pads}
    node = depthwise(rng, small(1, 6), strides=strides, dilations=dilations, **shape)
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1)], ids=str)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 5), (5, 6)], ids=str)
def test_fused_rows(strides, height, width):
    """3 x 3 without a clamp, whose outputs are requantised where they are summed."""
    rng = np.random.default_rng(height)
    node = depthwise(rng, 4, height=height, width=width, strides=strides)
    assert_exact(scaled_by(node, 0.01, -128 if height == 4 else 3, (-128, 127)), FAMILY, rng)


@pytest.mark.parametrize("distance", [0, 1, 6, 1000])
@pytest.mark.parametrize("zero_point", [-128, 3])
def test_over_its_input_at_any_distance(distance, zero_point):
    rng = np.random.default_rng(distance)
    node = depthwise(rng, 8, height=4, width=5)
    if zero_point == 3:
        node = scaled_by(node, 0.01, zero_point, (-128, 127))
    values = cases.stored_inputs(rng, node)
    expected = reference((node,), values)["y"]
    for candidate in (c for c in candidates_of(node, FAMILY) if "in_place" in c.name):
        moved = replace(candidate, overlap=(distance,))
        np.testing.assert_array_equal(run_on_host(moved, values, overlapped="x")["y"], expected)


def test_strips_bound_scratch():
    """A high image is cut into equal strips, one candidate for each limit, and every one is exact."""
    rng = np.random.default_rng(2)
    node = depthwise(rng, 4, height=33, width=40)
    found = [candidate for candidate in candidates_of(node, FAMILY) if "strip" in candidate.name]
    assert len(found) == 3
    assert found[0].scratch_bytes <= 4096
    assert found[0].cycles < found[1].cycles < found[2].cycles
    assert found[0].scratch_bytes > found[1].scratch_bytes > found[2].scratch_bytes
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize(
    ("real", "zero_point", "clamp"),
    [(0.01, -128, (-128, 127)), (0.01, 3, (-90, 127)), (1.7, 3, (-128, 127))],
    ids=["positive", "fast clamped", "general"],
)
def test_requantisation_forms(real, zero_point, clamp):
    rng = np.random.default_rng(3)
    node = depthwise(rng, 5, height=5, width=5)
    if real > 0.1:
        node = with_weights(node, rng.integers(-1, 2, (5, 3, 3, 1)), rng.integers(-20, 20, 5))
    assert_exact(scaled_by(node, real, zero_point, clamp), FAMILY, rng)


def test_refuses_what_it_cannot_prove():
    rng = np.random.default_rng(4)
    family, node = families()[FAMILY], depthwise(rng, 2, zero_point=-128)
    candidate, *_ = candidates_of(node, FAMILY)
    limit = (1 << 23) - 1 - 128 * 9 * 255
    for bias, admitted in ((-limit, True), (-limit - 1, False)):
        other = with_weights(node, np.full((2, 3, 3, 1), -128), np.full(2, bias))
        assert family.admits(candidate, weights_of((other,))) is admitted
    assert family.candidates((node,), PLAIN) == ()
    assert family.candidates((depthwise(rng, 2, kernel=(2, 2), pads=(2, 2, 2, 2)),), DSP) == ()
