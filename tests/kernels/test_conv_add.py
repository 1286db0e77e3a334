"""Portable convolutions with the sum behind them, against the references of both, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import PLAIN
from tests.support.residual_nodes import stored, with_add

FAMILY = "conv_add_s8_c"


def assert_exact(nodes, values) -> None:
    assert_equal_on_host(admitted(nodes, [FAMILY], PLAIN), values)


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
