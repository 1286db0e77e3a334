"""Exact integer Winograd convolution against its reference, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from edgeprune.kernels._winograd import transformed_weights
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, scaled_by, with_weights
from tests.support.host_kernel import reference, run_on_host

FAMILIES = ("conv_s8_dsp_winograd", "conv_s8_dsp_winograd_staged")
EITHER = pytest.mark.parametrize("name", FAMILIES)
"""With weights transformed in flash, and in RAM."""
_B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

CASES = [
    {"in_channels": 12, "out_channels": 3},
    {"in_channels": 16, "out_channels": 1, "height": 5, "width": 6},
    {"in_channels": 20, "out_channels": 2, "height": 6, "width": 5, "per_tensor": True},
    {"pads": (0, 0, 0, 0)},
    {"pads": (0, 1, 1, 0), "height": 7},
    {"pads": (3, 2, 3, 4), "height": 3, "width": 2},
]


def test_transforms_give_four_times_the_sum_within_halfwords():
    rng = np.random.default_rng(0)
    g = rng.choice([-128, 127, 3, -7], (40, 3, 3, 1))
    d = rng.choice([-128, 127, 5, 0], (40, 4, 4))
    u = transformed_weights(g).reshape(-1, 4, 4)
    v = _B @ d @ _B.T
    assert abs(v).max() <= 512
    windows = np.lib.stride_tricks.sliding_window_view(d, (3, 3), axis=(1, 2))
    sums = np.einsum("nyxij,nij->nyx", windows, g[..., 0].astype(np.int64))
    np.testing.assert_array_equal(_A @ (u * v) @ _A.T, 4 * sums)


def test_largest_transformed_weights():
    """A kernel of one sign everywhere, and checkerboards, reach the bound of 1152."""
    kernels = np.full((2, 3, 3, 1), -128)
    kernels[1] = np.where(np.indices((3, 3)).sum(axis=0) % 2, 127, -128)[..., None]
    assert abs(transformed_weights(kernels)).max() == 1152


@EITHER
@pytest.mark.parametrize("case", CASES, ids=str)
def test_geometries(case, name):
    rng = np.random.default_rng(1)
    assert_exact(cases.conv_node(rng, extremes=True, **case), name, rng)


@EITHER
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 2, 4, 5, 7])
def test_residues_of_tiles_and_blocks(height, width, name):
    """Odd and even extents, tiles modulo 4 with blocks over the ends of rows, channels of either parity."""
    rng = np.random.default_rng(10 * height + width)
    node = cases.conv_node(rng, height=height, width=width, out_channels=1 + (height + width) % 3)
    assert_exact(node, name, rng)


@EITHER
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(name, data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    rng = np.random.default_rng(small(0, 1000))
    node = cases.conv_node(
        rng,
        height=small(3, 9),
        width=small(3, 9),
        in_channels=4 * small(1, 4),
        out_channels=small(1, 6),
        pads=tuple(small(0, 2) for _ in range(4)),
        extremes=True,
    )
    assert_exact(node, name, rng)


@EITHER
@pytest.mark.parametrize(
    ("real", "zero_point", "clamp"),
    [(0.01, -128, (-128, 127)), (0.01, 3, (-90, 127)), (0.005, 3, (-128, 127)), (1.7, 3, (-128, 127))],
    ids=["positive", "fast clamped", "fast", "general"],
)
def test_requantisation_forms(real, zero_point, clamp, name):
    rng = np.random.default_rng(3)
    node = cases.conv_node(rng, height=5, width=5, out_channels=3)
    if real > 0.1:
        node = with_weights(node, rng.integers(-1, 2, (3, 3, 3, 4)), rng.integers(-20, 20, 3))
    assert_exact(scaled_by(node, real, zero_point, clamp), name, rng)


@EITHER
@pytest.mark.parametrize("zero_point", [-128, 127])
def test_largest_weights_and_inputs(zero_point, name):
    rng = np.random.default_rng(6)
    node = cases.conv_node(rng, height=4, width=4, in_channels=8, out_channels=2, zero_point=zero_point)
    weights = np.full((2, 3, 3, 8), -128)
    weights[1] = np.where(np.indices((3, 3)).sum(axis=0) % 2, 127, -128)[..., None]
    node = with_weights(node, weights, np.zeros(2))
    for x in (np.full((1, 4, 4, 8), -128), np.where(np.indices((1, 4, 4, 8)).sum(axis=0) % 2, 127, -128)):
        values = {"x": x.astype(np.int8)}
        for candidate in candidates_of(node, name):
            found = run_on_host(candidate, values)["y"]
            np.testing.assert_array_equal(found, reference((node,), values)["y"])


@EITHER
def test_refuses_what_it_cannot_prove_or_does_not_fit(name):
    rng = np.random.default_rng(7)
    family, node = families()[name], cases.conv_node(rng, out_channels=2, zero_point=-128)
    candidate, *_ = candidates_of(node, name)
    for b, admitted in (((1 << 23) - 1, True), (1 << 23, False), (-(1 << 23), False)):
        other = with_weights(node, np.zeros((2, 3, 3, 4)), np.full(2, b))
        assert family.admits(candidate, weights_of((other,))) == admitted
    assert family.candidates((node,), PLAIN) == ()
    others = ({"strides": (2, 2)}, {"in_channels": 6}, {"batch": 2}, {"dilations": (2, 2)}, {"group": 4})
    for case in others:
        assert family.candidates((cases.conv_node(rng, **case),), DSP) == ()
