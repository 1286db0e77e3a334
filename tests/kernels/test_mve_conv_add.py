"""Convolutions for Helium with the sum behind them, against the references of both, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import DSP, with_weights
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_fused
from tests.support.mve_kernels import MVE, SLOW
from tests.support.residual_nodes import stored, with_add

FAMILY = "conv_add_s8_mve"
CASES: list[dict[str, object]] = [
    {"in_channels": 8, "out_channels": 6, "height": 5, "width": 7},
    {"in_channels": 3, "out_channels": 17, "strides": (2, 2), "extremes": True},
    {"in_channels": 4, "out_channels": 4, "dilations": (2, 2), "pads": (2, 2, 2, 2), "height": 4},
    {"in_channels": 16, "out_channels": 66, "height": 2, "width": 5},
    {"in_channels": 5, "out_channels": 1, "height": 1, "width": 1, **POINTWISE},
    {"in_channels": 20, "out_channels": 35, "batch": 2, "height": 3, "width": 5, **POINTWISE},
    {"in_channels": 19, "out_channels": 130, "height": 4, "width": 4, **POINTWISE},
]
"""Blocks of 1 to 3 pixels, runs of the image and strips, channels in several runs of 64, modulo 4 and in tiles."""


def pairs(rng: np.random.Generator) -> list[tuple[Node, Node]]:
    """Every case, the convolution's operand first or last; rows of a fully connected layer."""
    made = [
        with_add(
            rng,
            cases.conv_node(rng, **case),
            "Sub" if index % 3 else "Add",
            first=index % 2 == 0,
            clamp=(-40, 60) if index % 4 == 0 else (-128, 127),
        )
        for index, case in enumerate(CASES)
    ]
    rows = cases.fully_connected_node(rng, rows=(7,), in_features=12, out_features=9)
    return [*made, with_add(rng, rows)]


def test_geometries():
    rng = np.random.default_rng(3)
    for nodes in pairs(rng):
        assert_equal_on_host(admitted(nodes, [FAMILY], SLOW), stored(rng, nodes))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_shortcut_past_the_convolution_itself(kernel):
    """The input is read twice: as the windows and as the shortcut."""
    rng = np.random.default_rng(5)
    pads = (kernel[0] // 2,) * 4
    conv = cases.conv_node(rng, in_channels=48, out_channels=48, height=4, width=5, kernel=kernel, pads=pads)
    nodes = with_add(rng, conv, shortcut=conv.inputs[0])
    assert_equal_on_host(admitted(nodes, [FAMILY], SLOW), stored(rng, nodes))


def test_refuses_what_it_does_not_fit():
    rng = np.random.default_rng(7)
    family = families()[FAMILY]
    conv, add = with_add(rng, cases.conv_node(rng))
    assert family.candidates((conv, add), MVE)
    assert family.candidates((conv, add), DSP) == ()
    assert family.candidates((conv,), MVE) == ()
    assert family.candidates((add,), MVE) == ()
    twice = replace(add, inputs=(conv.output, conv.output))
    assert family.candidates((conv, twice), MVE) == ()
    depthwise = cases.conv_node(rng, in_channels=4, out_channels=4, group=4)
    assert family.candidates(with_add(rng, depthwise), MVE) == ()
    row = cases.fully_connected_node(rng, in_features=12, out_features=9)
    assert family.candidates(with_add(rng, row), MVE) == ()


def test_instructions_equal_the_reference(tmp_path: Path) -> None:
    """In one library: all cases, each as near as it declares, and the extremes of both operands."""
    rng = np.random.default_rng(9)
    ends = cases.conv_node(rng, in_channels=16, out_channels=4, height=3, width=3, clamp=(-128, 127))
    ends = with_weights(ends, np.full((4, 3, 3, 16), 127), np.full(4, 20000))
    made = [*pairs(rng), with_add(rng, ends)]
    device = replace(load_device("mps3-an547"), flash=SLOW.flash)
    candidates = every_fused(made, lambda nodes: admitted(nodes, [FAMILY], device))
    (drawn,) = drawn_samples(rng, candidates, 1)
    extremes = [{name: np.full_like(value, end) for name, value in drawn.items()} for end in (-128, 127)]
    assert_equal_in_emulator(candidates, device, [drawn, *extremes], tmp_path, overlapped=True)
