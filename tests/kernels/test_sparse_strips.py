"""Sparse convolutions from prepared rows against their reference, byte for byte, on the host and in the emulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels._dsp_strips import RowStrips
from edgeprune.kernels.base import weights_of
from edgeprune.ops._convolution import conv_geometry
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.cases import POINTWISE
from tests.support.dsp_kernels import DSP, PLAIN, SLOW, assert_exact, candidates_of, with_weights
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.host_kernel import reference, run_on_host
from tests.support.sparse_nodes import MASKS, columns, of_extremes, pruned, singles, unclamped

PICKED, BLOCKS = "conv_s8_dsp_picked", "conv_s8_dsp_blocks_strips"
FAMILIES = (PICKED, BLOCKS)
ROW = {**POINTWISE, "height": 1}

GEOMETRIES = [
    {"out_channels": 18, "width": 4, "in_channels": 8},
    {"out_channels": 9, "width": 7, "in_channels": 4},
    {"in_channels": 4, "out_channels": 6, "width": 11, "height": 7, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"in_channels": 8, "width": 8, "dilations": (2, 1), "pads": (2, 1, 2, 1), "batch": 2},
    {"in_channels": 8, "width": 18, "dilations": (1, 3), "pads": (1, 3, 1, 3), "strides": (1, 2)},
    {"in_channels": 32, "out_channels": 33, "height": 3, "width": 5},
    {"height": 2, "width": 6, "kernel": (3, 5), "pads": (1, 2, 1, 2), "in_channels": 4},
    {**POINTWISE, "strides": (2, 2), "width": 9, "out_channels": 2, "in_channels": 8},
    {"width": 9, "height": 5, "in_channels": 4, "pads": (0, 0, 0, 0)},
    {"width": 33, "height": 13, "in_channels": 4, "batch": 2},
    {"width": 31, "height": 6, "in_channels": 4, "kernel": (2, 2), "strides": (3, 3), "pads": (1, 1, 0, 0)},
    {"width": 3, "height": 6, "in_channels": 4, "strides": (1, 3), "pads": (1, 4, 1, 8)},
]
ODD_CHANNELS = [
    {"in_channels": 5, "out_channels": 9, "width": 7},
    {"in_channels": 3, "out_channels": 6, "width": 11, "height": 7, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"in_channels": 6, "width": 9, "height": 5, "strides": (2, 2), "pads": (1, 1, 1, 1)},
    {**POINTWISE, "in_channels": 7, "width": 13, "strides": (3, 3)},
]
"""For picked inputs alone: blocks are of four channels."""


def nodes(rng: np.random.Generator, family: str) -> list[Node]:
    """Words in every number modulo the loop's, both forms of scaling, groups of every number, degenerate masks."""
    window = cases.conv_node(rng, in_channels=12, out_channels=34, height=5, width=6)
    found = [pruned(unclamped(window, -128, 0.002), columns(16, d / 8), rng) for d in range(1, 6)]
    found.append(pruned(unclamped(window, 3, 0.002), singles(0.05), rng))
    odd = ODD_CHANNELS if family == PICKED else []
    wide = [{"in_channels": 4, "out_channels": 6, "width": width, "height": 2} for width in (8, 13, 16, 29)]
    found += [
        pruned(unclamped(cases.conv_node(rng, **case), 3, 0.002), columns(16, 0.3), rng)
        for case in (*GEOMETRIES, *odd, *wide)
    ]
    small = cases.conv_node(rng, width=9, in_channels=5 if odd else 8, out_channels=9, **ROW)
    return found + [pruned(unclamped(small, -128), mask, rng) for mask in MASKS.values()]


@pytest.mark.parametrize("form", [-128, 3])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_degenerate_patterns(family, mask, form):
    """Empty layers, rows and blocks, single weights, nearly dense layers; channels that no pattern divides."""
    rng = np.random.default_rng(2)
    odd = 5 if family == PICKED else 4
    for case in ({"width": 6, "in_channels": 8}, {"width": 9, "in_channels": odd, "out_channels": 9}):
        node = cases.conv_node(rng, **ROW, **case)
        assert_exact(pruned(unclamped(node, form), MASKS[mask], rng), family, rng)


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_geometries(family, case):
    rng = np.random.default_rng(1)
    node = unclamped(cases.conv_node(rng, **case), -128, 0.002)
    assert_exact(pruned(node, columns(16, 0.4), rng), family, rng)


@pytest.mark.parametrize("case", ODD_CHANNELS, ids=str)
def test_channels_that_are_no_whole_words(case):
    rng = np.random.default_rng(1)
    node = pruned(unclamped(cases.conv_node(rng, **case), -128, 0.002), columns(16, 0.4), rng)
    assert_exact(node, PICKED, rng)
    assert families()[BLOCKS].candidates((node,), DSP) == ()


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_shapes_and_densities(data):
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    rng = np.random.default_rng(small(0, 1000))
    kernel, strides = (small(1, 3), small(1, 4)), (small(1, 3), small(1, 3))
    dilations = (small(1, 2), small(1, 2))
    reach = [(size - 1) * step for size, step in zip(kernel, dilations, strict=True)]
    node = cases.conv_node(
        rng,
        batch=small(1, 2),
        height=reach[0] + small(1, 9),
        width=reach[1] + 1 + strides[1] * small(3, 14),
        in_channels=4 * small(1, 3),
        out_channels=small(2, 20),
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        pads=(small(0, kernel[0] - 1), 0 if kernel[1] == 1 else small(0, kernel[1] - 1), reach[0], 0),
    )
    node = pruned(unclamped(node, small(-128, 127), 0.01), columns(small(1, 8), small(0, 7) / 10), rng)
    if np.mean(node.inputs[1].value == 0) >= 0.1:
        assert_exact(node, FAMILIES[small(0, 1)], rng)


@pytest.mark.parametrize("zero_point", [-128, 127])
@pytest.mark.parametrize("family", FAMILIES)
def test_largest_weights_and_inputs(family, zero_point):
    """Every pair of extremes, where the encodings come nearest to overflow."""
    rng = np.random.default_rng(6)
    node, values = of_extremes(rng, zero_point, -127, (0, 1, 2, 5))
    node = unclamped(node, -128, 0.002)
    for candidate in candidates_of(node, family):
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_they_do_not_take(family):
    rng = np.random.default_rng(7)
    kernels = families()[family]
    node = unclamped(cases.conv_node(rng, in_channels=8, width=4), -128)
    sparse = pruned(node, singles(0.3), rng)
    (candidate, *_) = candidates_of(sparse, family)
    assert kernels.candidates((sparse,), PLAIN) == ()
    assert kernels.candidates((pruned(node, singles(1.0), rng),), DSP) == ()
    narrow = unclamped(cases.conv_node(rng, in_channels=8, width=3), -128)
    assert kernels.candidates((pruned(narrow, singles(0.3), rng),), DSP) == ()
    wide_steps = cases.conv_node(rng, width=2, height=6, in_channels=4, strides=(1, 3), pads=(1, 4, 1, 8))
    assert kernels.candidates((pruned(unclamped(wide_steps, -128), singles(0.3), rng),), DSP) == ()
    far = unclamped(cases.conv_node(rng, in_channels=1 << 14, width=4, **ROW), -128, 0.0005)
    assert kernels.candidates((pruned(far, singles(0.3), rng),), DSP) == ()
    heavy = with_weights(sparse, sparse.inputs[1].value, np.full(8, 1 << 23))
    assert not kernels.admits(candidate, weights_of((heavy,)))


@pytest.mark.parametrize("rows", [3, 4, 5, 20, 36])
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_matrix(family, rows):
    """A fully connected layer of several rows is a pointwise convolution, whose pixels lie in rows of any length."""
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=(rows,), in_features=12, out_features=7)
    node = pruned(unclamped(node, -128), singles(0.2), rng)
    if rows < 4:
        assert families()[family].candidates((node,), DSP) == ()
    else:
        assert_exact(node, family, rng)


@pytest.mark.parametrize(
    ("height", "width", "batch"), [(6, 6, 1), (3, 2, 2), (5, 7, 4), (2, 3, 1), (5, 5, 1)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_pointwise_layers_of_any_shape(family, height, width, batch):
    rng = np.random.default_rng(4)
    node = cases.conv_node(rng, height=height, width=width, batch=batch, in_channels=8, **POINTWISE)
    node = pruned(unclamped(node, 3), columns(16, 0.4), rng)
    if height * width * batch % 4 and width < 4:
        assert families()[family].candidates((node,), DSP) == ()
    else:
        assert_exact(node, family, rng)


def test_what_is_offered():
    """Strips of one row and of several; several groups where flash is slow and holds a pair's weights."""
    rng = np.random.default_rng(8)
    node = pruned(
        unclamped(cases.conv_node(rng, in_channels=8, width=16, height=9), -128), columns(16, 0.3), rng
    )
    for family in FAMILIES:
        low, high = candidates_of(node, family, SLOW)
        assert (low.parameters["height"], high.parameters["height"]) == (1, 4)
        assert low.scratch_bytes < high.scratch_bytes
        assert low.cycles > high.cycles
        assert high.parameters["groups"] == 4
        assert candidates_of(node, family)[1].parameters["groups"] == 1
    long = pruned(
        unclamped(cases.conv_node(rng, in_channels=64, width=16), -128, 0.002), columns(16, 0.8), rng
    )
    assert {one.parameters["groups"] for family in FAMILIES for one in candidates_of(long, family, SLOW)} == {
        1
    }


def test_rows_that_strips_prepare():
    rng = np.random.default_rng(9)
    g = conv_geometry(cases.conv_node(rng, height=9, width=9, in_channels=4, batch=2))
    strips = RowStrips(g, 4, 2, 88, 8)
    assert (strips.span, strips.step, strips.band_rows) == (3, 1, 6)
    assert strips.prepared_rows == 2 * (6 + 6 + 3)
    assert (strips.blocks, strips.calls) == (2 * 9 * 3, 2 * 9 * 2)
    apart = conv_geometry(cases.conv_node(rng, height=9, width=9, strides=(2, 2), **POINTWISE))
    assert RowStrips(apart, 4, 1, 16, 1).band_rows == 4


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_candidate_equals_its_reference_in_the_emulator(family: str, name: str, tmp_path: Path) -> None:
    rng, device = np.random.default_rng(12), load_device(name)
    candidates = every_candidate(nodes(rng, family), lambda node: admitted((node,), (family,), device))
    assert_equal_in_emulator(candidates, device, drawn_samples(rng, candidates, 1), tmp_path)
