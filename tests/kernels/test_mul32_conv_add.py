"""Convolutions of small cores with the sum behind them, against the references of both, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import DSP
from tests.support.mul32_kernels import M0PLUS, RV32
from tests.support.residual_nodes import stored, with_add

FAMILY = "conv_add_s8_mul32"


def assert_exact(nodes, values) -> None:
    for device in (M0PLUS, RV32):
        assert_equal_on_host(admitted(nodes, [FAMILY], device), values)


@pytest.mark.parametrize(
    "case",
    [
        {"in_channels": 8, "out_channels": 6, "height": 5, "width": 7},
        {"in_channels": 3, "out_channels": 5, "strides": (2, 2), "extremes": True},
        {"in_channels": 4, "out_channels": 4, "dilations": (2, 2), "pads": (2, 2, 2, 2), "height": 4},
        {"in_channels": 5, "out_channels": 1, "height": 1, "width": 1, **POINTWISE},
        {"in_channels": 4, "out_channels": 9, "height": 2, "width": 5, **POINTWISE},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False], ids=["sum last", "sum first"])
def test_geometries(case, first):
    rng = np.random.default_rng(3)
    clamp = (-128, 127) if first else (-40, 60)
    nodes = with_add(rng, cases.conv_node(rng, **case), "Sub" if first else "Add", first=first, clamp=clamp)
    assert_exact(nodes, stored(rng, nodes))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_shortcut_past_the_convolution_itself(kernel):
    rng = np.random.default_rng(5)
    pads = (kernel[0] // 2,) * 4
    conv = cases.conv_node(rng, in_channels=6, out_channels=6, height=5, width=5, kernel=kernel, pads=pads)
    nodes = with_add(rng, conv, shortcut=conv.inputs[0])
    assert_exact(nodes, stored(rng, nodes))


def test_refuses_other_cores_and_other_nodes():
    rng = np.random.default_rng(7)
    family = families()[FAMILY]
    conv, add = with_add(rng, cases.conv_node(rng))
    assert family.candidates((conv, add), M0PLUS)
    assert family.candidates((conv, add), DSP) == ()
    assert family.candidates((conv,), M0PLUS) == ()
    depthwise = cases.conv_node(rng, in_channels=4, out_channels=4, group=4)
    assert family.candidates(with_add(rng, depthwise), M0PLUS) == ()
