"""Depthwise convolution for cores with a 32-bit multiplication only, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.kernels import families
from tests.kernels.test_dsp_depthwise import CASES, depthwise
from tests.support import cases
from tests.support.dsp_kernels import DSP
from tests.support.mul32_kernels import M3, assert_exact

FAMILY = "depthwise_s8_mul32"


@pytest.mark.parametrize(
    ("channels", "case"),
    [
        *CASES,
        (3, {"kernel": (2, 7), "width": 11, "pads": (0, 3, 1, 3)}),
        (2, {"strides": (5, 5), "height": 12}),
    ],
    ids=str,
)
def test_geometries(channels, case):
    rng = np.random.default_rng(1)
    assert_exact(depthwise(rng, channels, **case), FAMILY, rng)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", range(1, 12))
def test_residues_of_blocks(width, stride):
    rng = np.random.default_rng(width)
    assert_exact(depthwise(rng, 1 + width % 3, height=3, width=width, strides=(1, stride)), FAMILY, rng)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, dilations = (small(1, 4), small(1, 5)), (small(1, 2), small(1, 2))
    pads = tuple(small(0, 3) for _ in range(4))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    height = max(small(1, 9), extents[0] - pads[0] - pads[2])
    width = max(small(1, 9), extents[1] - pads[1] - pads[3])
    rng = np.random.default_rng(small(0, 1000))
    frame = {"kernel": kernel, "strides": (small(1, 3), small(1, 3)), "pads": pads, "dilations": dilations}
    assert_exact(depthwise(rng, small(1, 9), height=height, width=width, **frame), FAMILY, rng)


def test_refuses_other_geometries_and_cores():
    rng = np.random.default_rng(3)
    family = families()[FAMILY]
    assert family.candidates((depthwise(rng, 4),), DSP) == ()
    assert family.candidates((depthwise(rng, 4, batch=2),), M3) == ()
    multiplied = cases.conv_node(rng, in_channels=3, out_channels=6, group=3)
    assert family.candidates((multiplied,), M3) == ()
