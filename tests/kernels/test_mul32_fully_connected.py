"""Fully connected layers for cores with a 32-bit multiplication only, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from tests.support import cases
from tests.support.dsp_kernels import DSP
from tests.support.mul32_kernels import M0PLUS, M3, RV32, assert_exact

FAMILY = "fully_connected_s8_mul32"


@pytest.mark.parametrize(
    ("rows", "depth", "channels"),
    [((1,), 16, 8), ((3,), 5, 7), ((2, 2), 9, 3), ((1,), 33, 1), ((1,), 1, 6), ((7,), 70, 5)],
)
def test_shapes(rows, depth, channels):
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=rows, in_features=depth, out_features=channels, extremes=True)
    assert_exact(node, FAMILY, rng, (M0PLUS, M3, RV32))
    assert families()[FAMILY].candidates((node,), DSP) == ()


def test_a_window_as_large_as_the_image():
    rng = np.random.default_rng(4)
    frame = {"height": 4, "width": 3, "kernel": (4, 3), "pads": (0, 0, 0, 0)}
    assert_exact(cases.conv_node(rng, in_channels=5, out_channels=6, **frame), FAMILY, rng)
