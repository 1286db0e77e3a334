"""Portable convolutions with the sum behind them, against the references of both, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from tests.kernels.test_dsp_conv_add import POINTWISE, stored, with_add
from tests.support import cases
from tests.support.dsp_kernels import PLAIN
from tests.support.host_kernel import reference, run_on_host

FAMILY = "conv_add_s8_c"


def assert_exact(nodes, values) -> None:
    """The candidate equals both references, also with each input as near the output as it declares."""
    expected = reference(nodes, values)["y"]
    (candidate,) = families()[FAMILY].candidates(nodes, PLAIN)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
    for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=True):
        if distance is not None:
            shared = run_on_host(candidate, values, overlapped=name)["y"]
            np.testing.assert_array_equal(shared, expected, err_msg=f"{name} at {distance}")


@pytest.mark.parametrize(
    "case",
    [
        {"in_channels": 8, "out_channels": 6, "height": 5, "width": 7},
        {"in_channels": 3, "out_channels": 5, "strides": (2, 2), "extremes": True},
        {"in_channels": 6, "out_channels": 6, "group": 6, "height": 3, "width": 4},
        {"in_channels": 4, "out_channels": 9, "batch": 2, "height": 3, "width": 3, **POINTWISE},
        {"in_channels": 5, "out_channels": 1, "height": 1, "width": 1, **POINTWISE},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False], ids=["sum last", "sum first"])
def test_geometries(case, first):
    rng = np.random.default_rng(3)
    conv = cases.conv_node(rng, **case)
    nodes = with_add(
        rng, conv, "Sub" if first else "Add", first=first, clamp=(-128, 127) if first else (-40, 60)
    )
    assert_exact(nodes, stored(rng, nodes))


def test_shortcut_past_the_convolution_itself():
    rng = np.random.default_rng(5)
    conv = cases.conv_node(rng, in_channels=6, out_channels=6, height=5, width=5)
    nodes = with_add(rng, conv, shortcut=conv.inputs[0])
    assert_exact(nodes, stored(rng, nodes))
