"""The portable sparse kernel against the reference, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.kernels import families
from edgeprune.kernels.conv_s8_c_indexed import _candidate
from tests.support import cases
from tests.support.dsp_kernels import PLAIN, assert_exact
from tests.support.host_kernel import reference, run_on_host
from tests.support.sparse_nodes import MASKS, columns, pruned, singles

FAMILY = "conv_s8_c_indexed"

GEOMETRIES = [
    {"out_channels": 7, "extremes": True},
    {"in_channels": 3, "out_channels": 5, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"dilations": (2, 3), "pads": (2, 3, 2, 3), "batch": 2},
    {"kernel": (2, 3), "pads": (0, 0, 0, 0), "out_channels": 2},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "out_channels": 1},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "strides": (2, 2), "batch": 2},
]


@pytest.mark.parametrize("mask", MASKS)
def test_degenerate_patterns(mask):
    rng = np.random.default_rng(2)
    node = cases.conv_node(rng, height=3, width=4, in_channels=5, out_channels=7)
    assert_exact(pruned(node, MASKS[mask], rng), FAMILY, rng)


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_geometries(case):
    """Every number of outputs at a time, whatever the cost says."""
    rng = np.random.default_rng(1)
    node = pruned(cases.conv_node(rng, **case), singles(0.3), rng)
    w = node.inputs[1]
    values = cases.stored_inputs(rng, node)
    expected = reference((node,), values)["y"]
    for count in (1, 2, 4):
        if count <= w.shape[0]:
            candidate = _candidate(node, w.value.reshape(w.shape[0], -1), count, PLAIN)
            np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
            if candidate.overlap[0] is not None:
                overlapped = run_on_host(candidate, values, overlapped="x")["y"]
                np.testing.assert_array_equal(overlapped, expected)


def test_rows_of_a_matrix_and_long_ways():
    """Steps of exactly a byte, of one more, and of several bytes."""
    rng = np.random.default_rng(3)
    node = cases.fully_connected_node(rng, rows=(2,), in_features=1100, out_features=6)

    def mask(_rng, outputs, inputs):
        kept = np.zeros((outputs, inputs), bool)
        for row, places in enumerate(((255,), (256, 511), (0, 766), (1099,), (254, 510, 1020), ())):
            kept[row, list(places)] = True
        return kept

    assert_exact(pruned(node, mask, rng), FAMILY, rng)
    assert_exact(pruned(node, columns(4, 0.01), rng), FAMILY, rng)


def test_what_it_does_not_take():
    rng = np.random.default_rng(4)
    family = families()[FAMILY]
    dense = pruned(cases.conv_node(rng), singles(1.0), rng)
    assert family.candidates((dense,), PLAIN) == ()
    assert family.candidates((pruned(cases.conv_node(rng, group=2), singles(0.1), rng),), PLAIN) == ()
