"""Winograd convolutions with the sum behind them, against the references of both, byte for byte, on the host."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.kernels.test_dsp_conv_add import stored, with_add
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, SLOW
from tests.support.host_kernel import reference, run_on_host

FAMILY = "conv_add_s8_dsp_winograd_staged"


def assert_exact(nodes, values) -> None:
    """Every candidate equals both references, also with each input as near the output as it declares."""
    family, expected = families()[FAMILY], reference(nodes, values)["y"]
    candidates = [c for c in family.candidates(nodes, SLOW) if family.admits(c, weights_of(nodes))]
    assert candidates
    for candidate in candidates:
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
        for name in candidate.activation_inputs:
            shared = run_on_host(candidate, values, overlapped=name)["y"]
            np.testing.assert_array_equal(shared, expected, err_msg=f"{candidate.name} {name}")


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
