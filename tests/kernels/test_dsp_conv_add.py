"""Convolutions with the sum behind them, against the references of both one after the other, byte for byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from tests.support import cases
from tests.support.candidates import admitted, assert_equal_on_host
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import DSP, PLAIN, SLOW, scaled_by, with_weights
from tests.support.mul32_kernels import M3
from tests.support.residual_nodes import stored, with_add

FAMILY = "conv_add_s8_dsp"


def assert_exact(nodes: tuple[Node, Node], values: dict[str, np.ndarray]) -> None:
    assert_equal_on_host(admitted(nodes, [FAMILY], SLOW), values)


@pytest.mark.parametrize(
    "case",
    [
        {"in_channels": 8, "out_channels": 6, "height": 5, "width": 7},
        {"in_channels": 3, "out_channels": 5, "strides": (2, 2)},
        {
            "in_channels": 4,
            "out_channels": 4,
            "dilations": (2, 2),
            "pads": (2, 2, 2, 2),
            "height": 4,
            "width": 5,
        },
        {"in_channels": 8, "out_channels": 1, "height": 3, "width": 3},
        {"in_channels": 20, "out_channels": 3, "batch": 2, "height": 3, "width": 3, **POINTWISE},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False], ids=["sum last", "sum first"])
def test_geometries(case, first):
    rng = np.random.default_rng(3)
    nodes = with_add(rng, cases.conv_node(rng, **case), "Sub" if first else "Add", first=first)
    assert_exact(nodes, stored(rng, nodes))


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5, 6, 7, 9, 17])
@pytest.mark.parametrize("channels", [(7, 3), (8, 4)], ids=str)
def test_residues_of_blocks_and_words(pixels, channels):
    rng = np.random.default_rng(pixels)
    conv = cases.conv_node(
        rng, height=1, width=pixels, in_channels=channels[0], out_channels=channels[1], **POINTWISE
    )
    zero, clamp = (-128, (-128, 127)) if pixels % 2 else (3, (-128, 127))
    nodes = with_add(rng, scaled_by(conv, 0.01, zero, clamp), clamp=(-128, 127) if pixels % 3 else (-40, 60))
    assert_exact(nodes, stored(rng, nodes))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_random_shapes(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 20)))
    conv = cases.conv_node(
        rng,
        height=data.draw(st.integers(1, 6)),
        width=data.draw(st.integers(1, 6)),
        in_channels=data.draw(st.integers(1, 12)),
        out_channels=data.draw(st.integers(1, 12)),
        kernel=data.draw(st.sampled_from([(1, 1), (3, 3)])),
    )
    nodes = with_add(rng, conv, first=data.draw(st.booleans()), clamp=(-128, data.draw(st.integers(0, 127))))
    assert_exact(nodes, stored(rng, nodes))


def test_rows_of_a_fully_connected_layer():
    rng = np.random.default_rng(4)
    nodes = with_add(rng, cases.fully_connected_node(rng, rows=(7,), in_features=12, out_features=9))
    assert_exact(nodes, stored(rng, nodes))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
def test_shortcut_past_the_convolution_itself(kernel):
    """The input is read twice: as the windows and as the shortcut."""
    rng = np.random.default_rng(5)
    pads = (kernel[0] // 2,) * 4
    conv = cases.conv_node(rng, in_channels=6, out_channels=6, height=5, width=5, kernel=kernel, pads=pads)
    nodes = with_add(rng, conv, shortcut=conv.inputs[0])
    assert_exact(nodes, stored(rng, nodes))


@pytest.mark.parametrize("extreme", [-128, 127])
def test_extremes(extreme):
    """The largest sums of the convolution, beyond its output's range, meet the shortcut's extremes."""
    rng = np.random.default_rng(6)
    conv = cases.conv_node(rng, in_channels=16, out_channels=4, height=3, width=3, clamp=(-128, 127))
    conv = with_weights(conv, np.full((4, 3, 3, 16), 127), np.full(4, 20000))
    nodes = with_add(rng, scaled_by(conv, 0.03, extreme, (-128, 127)))
    values = {name: np.full_like(value, extreme) for name, value in stored(rng, nodes).items()}
    assert_exact(nodes, values)


def test_refuses_what_it_does_not_fit():
    rng = np.random.default_rng(7)
    family = families()[FAMILY]
    conv, add = with_add(rng, cases.conv_node(rng))
    assert family.candidates((conv, add), DSP)
    assert family.candidates((conv, add), PLAIN) == ()
    assert family.candidates((conv,), DSP) == ()
    assert family.candidates((add,), DSP) == ()
    twice = replace(add, inputs=(conv.output, conv.output))
    assert family.candidates((conv, twice), DSP) == ()
    broadcast = replace(add, inputs=(conv.output, cases.activation(rng, "s", (1, 1, 1, 8))))
    assert family.candidates((conv, broadcast), DSP) == ()
    depthwise = cases.conv_node(rng, in_channels=4, out_channels=4, group=4)
    assert family.candidates(with_add(rng, depthwise), DSP) == ()


def test_only_the_families_for_two_nodes_take_two():
    rng = np.random.default_rng(8)
    nodes = with_add(rng, cases.conv_node(rng))
    for device in (SLOW, M3):
        takers = {name for name, family in families().items() if family.candidates(nodes, device)}
        dsp = {"conv_add_s8_dsp", "conv_add_s8_dsp_winograd_staged"}
        assert takers == {"conv_add_s8_c", *(dsp if device.dsp else {"conv_add_s8_mul32"})}
