"""Fully connected layers for the DSP extension against their reference, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import cases
from tests.support.dsp_kernels import assert_exact, scaled_by, with_weights

FAMILY = "fully_connected_s8_dsp"


@pytest.mark.parametrize("out_features", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("in_features", [1, 6, 8, 12])
def test_residues_of_the_blocking(in_features, out_features):
    rng = np.random.default_rng(in_features)
    node = cases.fully_connected_node(rng, in_features=in_features, out_features=out_features)
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize("rows", [(3,), (1, 5), (2, 4)])
def test_several_rows(rows):
    rng = np.random.default_rng(1)
    node = cases.fully_connected_node(rng, rows=rows, in_features=18, out_features=7, per_tensor=True)
    assert_exact(node, FAMILY, rng)


def test_convolution_with_one_window():
    rng = np.random.default_rng(2)
    node = cases.conv_node(rng, height=3, width=2, in_channels=5, kernel=(3, 2), pads=(0, 0, 0, 0))
    assert_exact(node, FAMILY, rng)


@pytest.mark.parametrize(
    ("real", "zero_point", "clamp"),
    [(0.01, -128, (-128, 127)), (0.01, 3, (-90, 127)), (1.7, 3, (-128, 127))],
    ids=["positive", "fast clamped", "general"],
)
def test_requantisation_forms(real, zero_point, clamp):
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, in_features=9, out_features=6)
    if real > 0.1:
        node = with_weights(node, rng.integers(-1, 2, (6, 9)), rng.integers(-20, 20, 6))
    assert_exact(scaled_by(node, real, zero_point, clamp), FAMILY, rng)
