"""Winograd convolutions with the sum behind them, against the references of both, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.dsp_kernels import DSP, PLAIN, SLOW
from tests.support.residual_nodes import stored, with_add

FAMILY = "conv_add_s8_dsp_winograd_staged"


def assert_exact(nodes, values) -> None:
    assert_equal_on_host(admitted(nodes, [FAMILY], SLOW), values)


@pytest.mark.parametrize("height", [2, 3, 6])
@pytest.mark.parametrize(("width", "channels"), [(4, 4), (5, 3), (7, 1)])
def test_strips(height, width, channels):
    """Even and odd extents, one strip and several, the last one shorter; channels of either parity."""
    rng = np.random.default_rng(10 * height + width)
    conv = cases.conv_node(rng, height=height, width=width, in_channels=8, out_channels=channels)
    op, first = ("Add", True) if channels % 2 else ("Sub", False)
    nodes = with_add(rng, conv, op, first=first, clamp=(-128, 127) if width % 2 else (-40, 60))
    assert_exact(nodes, stored(rng, nodes))


def test_shortcut_past_the_convolution_itself():
    rng = np.random.default_rng(5)
    conv = cases.conv_node(rng, in_channels=8, out_channels=8, height=8, width=6)
    nodes = with_add(rng, conv, shortcut=conv.inputs[0])
    assert_exact(nodes, stored(rng, nodes))


def test_refuses_what_it_does_not_fit():
    rng = np.random.default_rng(7)
    family = families()[FAMILY]
    conv, add = with_add(rng, cases.conv_node(rng, in_channels=4))
    assert family.candidates((conv, add), DSP)
    assert family.candidates((conv, add), PLAIN) == ()
    assert family.candidates((conv,), DSP) == ()
    assert family.candidates(with_add(rng, cases.conv_node(rng, in_channels=3)), DSP) == ()
