"""Sparse kernels for Helium against their references, byte for byte, in their portable form on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from tests.support import cases
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import PLAIN
from tests.support.host_kernel import reference, run_on_host
from tests.support.mve_kernels import MVE, assert_exact, mve_candidates
from tests.support.sparse_nodes import MASKS, SPARSE_MVE, columns, of_extremes, pruned, singles

CONVOLUTIONS = sorted(name for name in SPARSE_MVE if name.startswith("conv"))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_degenerate_patterns(family, mask):
    """Empty layers, rows and blocks, single weights, nearly dense layers; channels that no pattern divides."""
    rng = np.random.default_rng(2)
    node = cases.conv_node(
        rng, height=1, width=9, in_channels=20, out_channels=37, extremes=True, **POINTWISE
    )
    assert_exact(pruned(node, MASKS[mask], rng), rng, family)


GEOMETRIES = [
    {"in_channels": 4, "out_channels": 18},
    {"in_channels": 4, "out_channels": 5, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"in_channels": 8, "dilations": (2, 1), "pads": (2, 1, 2, 1), "batch": 2},
    {"in_channels": 32, "out_channels": 67, "height": 3, "width": 4},
    {"in_channels": 4, "height": 2, "width": 2, "kernel": (3, 5), "pads": (1, 2, 1, 2)},
    {"in_channels": 12, "kernel": (1, 3), "pads": (0, 0, 0, 0), "strides": (2, 2), "batch": 2},
    {**POINTWISE, "in_channels": 4, "strides": (2, 2), "out_channels": 1},
    {**POINTWISE, "in_channels": 300, "out_channels": 3, "height": 1, "width": 8},
    {"in_channels": 36, "out_channels": 9, "height": 3, "width": 3, "clamp": (-20, 40)},
]


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_geometries(family, case):
    rng = np.random.default_rng(1)
    assert_exact(pruned(cases.conv_node(rng, **case), columns(16, 0.4), rng), rng, family)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
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
        in_channels=4 * small(1, 9),
        out_channels=small(1, 40),
        kernel=(side, side),
        strides=(small(1, 2), 1),
        pads=(side // 2,) * 4,
    )
    node = pruned(node, columns(small(1, 17), small(0, 7) / 10), rng)
    if np.mean(node.inputs[1].value == 0) >= 0.1:
        assert_exact(node, rng, CONVOLUTIONS[small(0, len(CONVOLUTIONS) - 1)])


@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_rows_of_a_matrix(family):
    """A fully connected layer of several rows is a pointwise convolution."""
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=(5,), in_features=12, out_features=7)
    assert_exact(pruned(node, singles(0.3), rng), rng, family)


MATRICES = {
    "nothing": (8, 5),
    "one weight": (40, 19),
    "one block": (64, 9),
    "dense rows": (20, 8),
    "shared by 16": (300, 19),
    "blocks": (1100, 6),
    "unstructured": (36, 70),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", sorted(SPARSE_MVE - set(CONVOLUTIONS)))
def test_fully_connected(family, mask):
    rng = np.random.default_rng(4)
    inputs, outputs = MATRICES[mask]
    node = cases.fully_connected_node(rng, in_features=inputs, out_features=outputs, extremes=True)
    assert_exact(pruned(node, MASKS[mask], rng), rng, family)


def test_a_single_window_is_a_row():
    rng = np.random.default_rng(5)
    node = cases.conv_node(rng, height=3, width=3, in_channels=8, out_channels=20, pads=(0, 0, 0, 0))
    for family in SPARSE_MVE - set(CONVOLUTIONS):
        assert_exact(pruned(node, columns(16, 0.3), rng), rng, family)


@pytest.mark.parametrize("zero_point", [-128, 127])
@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_largest_weights_and_inputs(family, zero_point):
    """Weights of -128 are like any other."""
    rng = np.random.default_rng(6)
    node, values = of_extremes(rng, zero_point, -128, (0, 1, 2, 3))
    found = [candidate for candidate in mve_candidates(node) if candidate.family == family]
    assert found
    for candidate in found:
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


@pytest.mark.parametrize("family", [name for name in sorted(SPARSE_MVE) if name.endswith("blocks")])
def test_words_of_inputs_are_whole(family):
    """Inputs that are no multiple of four are left to other kernels."""
    rng = np.random.default_rng(9)
    node = cases.conv_node(rng, in_channels=6)
    if family.startswith("fully"):
        node = cases.fully_connected_node(rng, in_features=34, out_features=8)
    assert families()[family].candidates((pruned(node, singles(0.3), rng),), MVE) == ()


@pytest.mark.parametrize("family", sorted(SPARSE_MVE))
def test_what_they_do_not_take(family):
    rng = np.random.default_rng(7)
    kernels = families()[family]
    node = cases.conv_node(rng, in_channels=8)
    if family.startswith("fully"):
        node = cases.fully_connected_node(rng, in_features=32, out_features=8)
    sparse = pruned(node, singles(0.3), rng)
    assert kernels.candidates((sparse,), MVE)
    assert kernels.candidates((sparse,), PLAIN) == ()
    assert kernels.candidates((pruned(node, singles(1.0), rng),), MVE) == ()
    assert kernels.candidates((cases.conv_node(rng, in_channels=8, group=2),), MVE) == ()
    assert kernels.candidates((cases.with_wide_weights(rng, node),), MVE) == ()


@pytest.mark.parametrize("family", CONVOLUTIONS)
def test_density_is_what_is_multiplied(family):
    rng = np.random.default_rng(8)
    node = cases.conv_node(rng, in_channels=64, out_channels=16, **POINTWISE)
    half = pruned(node, lambda _, outputs, inputs: np.arange(inputs) % 8 < 4 * np.ones((outputs, 1)), rng)
    assert {c.density for c in mve_candidates(half) if c.family == family} == {0.5}
