"""Kernels for Helium against their references, byte for byte, in their portable form on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from edgeprune.kernels._mve_strips import Strip
from edgeprune.kernels.base import weights_of
from edgeprune.ops._convolution import conv_geometry
from tests.support import cases
from tests.support.cases import CONVOLUTIONS, POINTWISE
from tests.support.dsp_kernels import PLAIN, scaled_by, with_weights
from tests.support.host_kernel import reference, run_on_host
from tests.support.mve_kernels import MVE, assert_exact, mve_candidates

GEOMETRIES = [
    *CONVOLUTIONS,
    {"kernel": (1, 3), "pads": (0, 0, 0, 0), "in_channels": 5},
    {"kernel": (1, 3), "pads": (0, 0, 0, 0), "strides": (2, 2), "batch": 2},
    {"kernel": (3, 1), "pads": (1, 0, 1, 0), "in_channels": 17},
    {"kernel": (2, 2), "strides": (3, 3), "height": 9, "width": 9},
    {**POINTWISE, "in_channels": 9, "out_channels": 67, "height": 2},
    {"in_channels": 3, "out_channels": 130, "height": 3, "width": 4},
    {"extremes": True, "in_channels": 5},
]


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_convolutions(case):
    rng = np.random.default_rng(1)
    assert_exact(cases.conv_node(rng, **case), rng, "conv_s8_mve")


@pytest.mark.parametrize("in_channels", range(1, 18))
def test_residues_of_the_blocking(in_channels):
    """Inputs and output channels modulo 16 and 2, and pixels modulo 3."""
    rng = np.random.default_rng(in_channels)
    node = cases.conv_node(
        rng,
        height=1,
        width=1 + in_channels % 7,
        in_channels=in_channels,
        out_channels=1 + (in_channels * 5) % 19,
        **POINTWISE,
    )
    assert_exact(node, rng)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"strides": (2, 2), "height": 9, "width": 7},
        {"kernel": (5, 5), "pads": (2, 2, 2, 2)},
        {"kernel": (1, 4), "pads": (0, 1, 0, 2)},
        {"kernel": (4, 1), "pads": (1, 0, 2, 0), "strides": (1, 2)},
        {"dilations": (2, 2), "pads": (2, 2, 2, 2), "batch": 2},
        {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)},
        {"pads": (4, 5, 4, 5), "height": 2, "width": 3},
        POINTWISE,
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 5, 16, 24, 33])
def test_depthwise(case, channels):
    rng = np.random.default_rng(channels)
    node = cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)
    assert_exact(node, rng, "depthwise_s8_mve")


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, dilations = (small(1, 4), small(1, 4)), (small(1, 2), small(1, 2))
    pads = tuple(small(0, 3) for _ in range(4))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    channels = small(1, 20)
    depthwise = data.draw(st.booleans())
    rng = np.random.default_rng(small(0, 1000))
    node = cases.conv_node(
        rng,
        height=max(small(1, 7), extents[0] - pads[0] - pads[2]),
        width=max(small(1, 7), extents[1] - pads[1] - pads[3]),
        in_channels=channels,
        out_channels=channels if depthwise else small(1, 20),
        group=channels if depthwise else 1,
        kernel=kernel,
        strides=(small(1, 3), small(1, 3)),
        pads=pads,
        dilations=dilations,
        batch=small(1, 2),
    )
    g = conv_geometry(node)
    assume(not g.is_padded or Strip.of(g).copies)
    assert_exact(node, rng)


SCALINGS = [
    ("positive", 0.01, -128, (-128, 127)),
    ("positive clamped", 0.01, -20, (-20, 90)),
    ("fast", 0.01, 3, (-128, 127)),
    ("fast clamped", 0.02, 3, (-50, 50)),
    ("shift of 1", 0.49, 0, (-128, 127)),
    ("shift of 23", 2.0**-23, 7, (-128, 127)),
    ("vanishing", 2.0**-40, 7, (-128, 127)),
    ("general", 0.7, -5, (-128, 127)),
    ("general to the left", 5.3, 1, (-100, 100)),
]


@pytest.mark.parametrize("group", [1, 6])
@pytest.mark.parametrize(
    ("real", "zero_point", "clamp"), [s[1:] for s in SCALINGS], ids=[s[0] for s in SCALINGS]
)
def test_requantisation_forms(real, zero_point, clamp, group):
    rng = np.random.default_rng(5)
    node = cases.conv_node(rng, height=6, width=6, in_channels=6, out_channels=6, group=group, **POINTWISE)
    if real > 0.1:
        shape = (6, 1, 1, 6 // group)
        node = with_weights(node, rng.integers(-1, 2, shape), rng.integers(-20, 20, 6))
    assert_exact(scaled_by(node, real, zero_point, clamp), rng)


@pytest.mark.parametrize("zero_point", [-128, 127])
def test_depthwise_pairs_of_largest_products(zero_point):
    """Two products of one sign at their largest in one halfword: 2 * 128 * 127."""
    rng = np.random.default_rng(6)
    node = cases.conv_node(
        rng, height=4, width=4, in_channels=16, out_channels=16, group=16, zero_point=zero_point
    )
    signs = rng.integers(0, 2, (16, 3, 3, 1))
    node = with_weights(node, np.where(signs, 127, -127), np.zeros(16))
    for x in (-128, 127):
        values = {"x": np.full((1, 4, 4, 16), x, np.int8)}
        for candidate in mve_candidates(node):
            expected = reference((node,), values)["y"]
            np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 33, 7), (1, 5, 1), (1, 64, 70), (3, 12, 5)])
def test_fully_connected(rows, inputs, outputs):
    rng = np.random.default_rng(inputs)
    node = cases.fully_connected_node(
        rng, rows=(rows,), in_features=inputs, out_features=outputs, extremes=True
    )
    assert_exact(node, rng)


@pytest.mark.parametrize(("op", "shape"), [("Add", (3, 5)), ("Sub", (1, 4, 4, 4)), ("Add", (1,))])
def test_addition(op, shape):
    rng = np.random.default_rng(len(shape))
    for _ in range(4):
        assert_exact(cases.binary_node(rng, op, shape, shape), rng)


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (1, 5, 3, 8), (1, 16, 16, 4), (1, 2, 3, 21)], ids=str)
def test_means(shape):
    rng = np.random.default_rng(sum(shape))
    assert_exact(cases.reduce_mean_node(rng, shape, (1, 2)), rng)


@pytest.mark.parametrize("value", [-128, 127])
def test_means_of_largest_sums(value):
    rng = np.random.default_rng(0)
    node = cases.reduce_mean_node(rng, (1, 16, 16, 4), (1, 2))
    node = replace(node, attrs={**node.attrs, "clamp": (-128, 127)})
    values = {"x": np.full((1, 16, 16, 4), value, np.int8)}
    (candidate,) = mve_candidates(node)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


POOLS = [
    {},
    {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    {"kernel": (3, 2), "strides": (1, 1), "pads": (0, 0, 2, 1)},
    {"kernel": (2, 2), "dilations": (2, 1), "strides": (1, 2)},
]


@pytest.mark.parametrize("channels", [1, 8, 16, 21, 33])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_largest(case, channels):
    rng = np.random.default_rng(channels)
    assert_exact(cases.max_pool_node(rng, (2, 6, 7, channels), **case), rng)
    assert_exact(cases.max_pool_node(rng, (1, 6, 7, channels), **case), rng)


@pytest.mark.parametrize("channels", [1, 8, 21])
@pytest.mark.parametrize("case", [{}, {"kernel": (3, 4), "strides": (1, 1)}], ids=str)
def test_averages(case, channels):
    rng = np.random.default_rng(channels)
    assert_exact(cases.average_pool_node(rng, (1, 6, 7, channels), **case), rng)


def test_offers_what_it_can_do():
    rng = np.random.default_rng(7)
    depthwise = cases.conv_node(rng, in_channels=4, out_channels=4, group=4)
    family = families()["depthwise_s8_mve"]
    (candidate,) = family.candidates((depthwise,), MVE)
    assert family.admits(
        candidate, weights_of((with_weights(depthwise, np.full((4, 3, 3, 1), -127), np.zeros(4)),))
    )
    assert not family.admits(
        candidate, weights_of((with_weights(depthwise, np.full((4, 3, 3, 1), -128), np.zeros(4)),))
    )
    beside = cases.conv_node(rng, height=1, width=1, kernel=(1, 1), pads=(1, 1, 0, 0), strides=(2, 2))
    assert families()["conv_s8_mve"].candidates((beside,), MVE) == ()
    grouped = cases.conv_node(rng, in_channels=4, out_channels=4, group=2)
    wide = cases.with_wide_weights(rng, cases.conv_node(rng))
    for name in ("conv_s8_mve", "depthwise_s8_mve", "fully_connected_s8_mve"):
        assert families()[name].candidates((grouped,), MVE) == ()
        assert families()[name].candidates((wide,), MVE) == ()
        assert families()[name].candidates((depthwise,), PLAIN) == ()
    padded = cases.average_pool_node(rng, kernel=(3, 3), pads=(1, 1, 1, 1))
    assert families()["pool_s8_mve"].candidates((padded,), MVE) == ()
    means = families()["reduce_mean_s8_mve"]
    assert means.candidates((cases.reduce_mean_node(rng, (1, 16, 16, 4), (1, 2)),), MVE)
    assert means.candidates((cases.reduce_mean_node(rng, (1, 16, 17, 4), (1, 2)),), MVE) == ()
    assert means.candidates((cases.reduce_mean_node(rng, (2, 4, 4, 4), (1, 2)),), MVE) == ()
    assert means.candidates((cases.reduce_mean_node(rng, (1, 4, 4, 4), (2, 3)),), MVE) == ()
