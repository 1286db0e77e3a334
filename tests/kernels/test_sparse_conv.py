"""Sparse convolutions for the DSP extension against their reference, byte for byte, in their portable form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, with_weights
from tests.support.host_kernel import reference, run_on_host
from tests.support.sparse_nodes import MASKS, columns, of_extremes, pruned, singles, unclamped

FAMILIES = ["conv_s8_dsp_gathered", "conv_s8_dsp_blocks", "conv_s8_dsp_singles"]
FORMS = {"positive": -128, "fast": 3}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_degenerate_patterns(family, mask, form):
    """Empty layers, rows and blocks, single weights, nearly dense layers; channels that no pattern divides."""
    rng = np.random.default_rng(2)
    for case in ({"width": 6, "in_channels": 8}, {"width": 9, "in_channels": 5, "out_channels": 9}):
        node = cases.conv_node(rng, height=1, **POINTWISE, **case)
        assert_exact(pruned(unclamped(node, FORMS[form]), MASKS[mask], rng), family, rng)


GEOMETRIES = [
    {"out_channels": 18},
    {"in_channels": 3, "out_channels": 5, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"in_channels": 8, "dilations": (2, 1), "pads": (2, 1, 2, 1), "batch": 2},
    {"in_channels": 32, "out_channels": 33, "height": 3, "width": 3},
    {"height": 2, "width": 2, "kernel": (3, 5), "pads": (1, 2, 1, 2)},
    {**POINTWISE, "strides": (2, 2), "out_channels": 2},
    {**POINTWISE, "in_channels": 20, "out_channels": 3, "height": 1, "width": 8},
]


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_geometries(family, case):
    rng = np.random.default_rng(1)
    node = unclamped(cases.conv_node(rng, **case), -128, 0.002)
    assert_exact(pruned(node, columns(16, 0.4), rng), family, rng)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes_and_densities(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    rng = np.random.default_rng(small(0, 1000))
    side = small(1, 3)
    node = cases.conv_node(
        rng,
        height=small(side, 6),
        width=small(side + 1, 7),
        in_channels=small(1, 9),
        out_channels=small(2, 20),
        kernel=(side, side),
        strides=(small(1, 2), 1),
        pads=(side // 2,) * 4,
    )
    mask = columns(small(1, 8), small(0, 7) / 10)
    node = pruned(unclamped(node, small(-128, 127), 0.01), mask, rng)
    if np.mean(node.inputs[1].value == 0) >= 0.1:
        assert_exact(node, FAMILIES[small(0, 2)], rng)


def test_rows_of_a_matrix():
    """A fully connected layer of several rows is a pointwise convolution."""
    rng = np.random.default_rng(3)
    node = unclamped(cases.fully_connected_node(rng, rows=(5,), in_features=10, out_features=7), -128)
    for family in FAMILIES:
        assert_exact(pruned(node, singles(0.3), rng), family, rng)


def test_long_ways_between_weights():
    """Gaps at and beyond what a record of `conv_s8_dsp_singles` holds, before its first weight and its second."""
    rng = np.random.default_rng(4)
    node = unclamped(cases.conv_node(rng, height=1, width=9, in_channels=700, **POINTWISE), 3, 0.001)
    places = [(0, 63), (63, 190), (64, 65), (127, 255), (128, 130), (600, 699), (699,), (1, 2, 66)]
    w = np.zeros(node.inputs[1].shape, np.int8)
    for row, kept in zip(w, places, strict=True):
        row.reshape(-1)[list(kept)] = rng.choice([-127, 127, 5], len(kept))
    assert_exact(with_weights(node, w, node.inputs[2].value), "conv_s8_dsp_singles", rng)


@pytest.mark.parametrize("zero_point", [-128, 127])
@pytest.mark.parametrize("family", FAMILIES)
def test_largest_weights_and_inputs(family, zero_point):
    """Every pair of extremes, where the encodings come nearest to overflow; single weights may be -128."""
    rng = np.random.default_rng(6)
    lowest = -128 if family.endswith("singles") else -127
    node, values = of_extremes(rng, zero_point, lowest, (0, 1, 2, 5))
    node = unclamped(node, -128, 0.002)
    for candidate in candidates_of(node, family):
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_they_do_not_take(family):
    rng = np.random.default_rng(7)
    node = unclamped(cases.conv_node(rng, in_channels=8), -128)
    sparse = pruned(node, singles(0.3), rng)
    kernels = families()[family]
    (candidate, *_) = candidates_of(sparse, family)
    assert kernels.candidates((sparse,), PLAIN) == ()
    assert kernels.candidates((pruned(node, singles(1.0), rng),), DSP) == ()
    assert kernels.candidates((unclamped(cases.conv_node(rng, in_channels=8, group=2), -128),), DSP) == ()
    heavy = with_weights(sparse, sparse.inputs[1].value, np.full(8, 1 << 23))
    assert not kernels.admits(candidate, weights_of((heavy,)))


@pytest.mark.parametrize("family", FAMILIES)
def test_density_is_what_is_multiplied(family):
    rng = np.random.default_rng(8)
    node = unclamped(cases.conv_node(rng, in_channels=16, out_channels=16, **POINTWISE), -128)
    half = pruned(node, lambda _, outputs, inputs: np.arange(inputs) % 8 < 4 * np.ones((outputs, 1)), rng)
    assert {candidate.density for candidate in candidates_of(half, family)} == {0.5}
