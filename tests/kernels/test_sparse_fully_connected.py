"""Sparse fully connected layers for the DSP extension against their reference, byte for byte, in portable form."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from edgeprune.kernels._sparsity import block_ranges, block_sizes
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, with_weights
from tests.support.host_kernel import reference, run_on_host
from tests.support.sparse_nodes import MASKS, columns, pruned, singles, unclamped

FAMILIES = ["fully_connected_s8_dsp_gathered", "fully_connected_s8_dsp_blocks"]
FORMS = {"positive": -128, "fast": 3}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_degenerate_patterns(family, mask, form):
    """Outputs and inputs that no pattern divides; empty layers, rows and blocks, and nearly dense ones."""
    rng = np.random.default_rng(2)
    for inputs, outputs in ((21, 19), (270, 8)):
        node = cases.fully_connected_node(rng, in_features=inputs, out_features=outputs)
        assert_exact(pruned(unclamped(node, FORMS[form], 0.004), MASKS[mask], rng), family, rng)


@pytest.mark.parametrize("outputs", [8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("family", FAMILIES)
def test_residues_of_the_blocking(family, outputs):
    rng = np.random.default_rng(outputs)
    for inputs in (1, 6, 7, 16, 29):
        node = unclamped(cases.fully_connected_node(rng, in_features=inputs, out_features=outputs), 3)
        node = pruned(node, columns(8, 0.4), rng)
        if np.mean(node.inputs[1].value == 0) >= 0.1:
            assert_exact(node, family, rng)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_as_large_as_the_image(family):
    rng = np.random.default_rng(4)
    case = {"height": 3, "width": 3, "in_channels": 5, "pads": (0, 0, 0, 0), "out_channels": 10}
    node = unclamped(cases.conv_node(rng, **case), -128, 0.003)
    assert_exact(pruned(node, singles(0.2), rng), family, rng)


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("family", FAMILIES)
def test_sums_at_the_ends_of_their_range(family, value):
    """515 products of -127 and -128 are the most that stay below 2**23, in every combination within a pair."""
    rng = np.random.default_rng(0)
    ends = np.array([(127, 127), (127, -127), (-127, 127), (-127, -127)]).ravel()
    w = np.zeros((8, 620), int)
    w[:, 4:519] = ends[:, None]
    node = cases.fully_connected_node(rng, in_features=620, out_features=8, zero_point=0)
    node = unclamped(with_weights(node, w, np.arange(-4, 4)), -1, 0.45)
    values = {"x": np.full(node.inputs[0].shape, value, np.int8)}
    for candidate in candidates_of(node, family):
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


@pytest.mark.parametrize("outputs", [8, 9, 64, 65, 1 << 16, 70_001])
def test_blocks_are_whole_and_counted_in_16_bits(outputs):
    for size in block_sizes(outputs, 8):
        ranges = block_ranges(outputs, size, 8)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == outputs
        assert all((end - first) % 8 == 0 and 0 < end - first < 1 << 16 for first, end in ranges)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_they_do_not_take(family):
    rng = np.random.default_rng(7)

    def offered(node, device=DSP):
        return families()[family].candidates((pruned(unclamped(node, 3), singles(0.3), rng),), device)

    assert offered(cases.fully_connected_node(rng, in_features=9, out_features=8))
    assert not offered(cases.fully_connected_node(rng, in_features=9, out_features=8), PLAIN)
    assert not offered(cases.fully_connected_node(rng, in_features=9, out_features=7))
    assert not offered(cases.fully_connected_node(rng, rows=(2,), in_features=9, out_features=8))
