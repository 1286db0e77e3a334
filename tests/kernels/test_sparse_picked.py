"""Sparse convolution of picked inputs against its reference, byte for byte: portable on the host, as it is in QEMU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, with_weights
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.host_kernel import reference, run_on_host
from tests.support.sparse_nodes import MASKS, columns, pruned, singles, unclamped

FAMILY = "conv_s8_dsp_picked"
ROW = {"kernel": (1, 1), "pads": (0, 0, 0, 0), "height": 1}

GEOMETRIES = [
    {"out_channels": 18, "width": 4},
    {"out_channels": 9, "width": 7, "in_channels": 5},
    {"in_channels": 3, "out_channels": 6, "width": 11, "height": 7, "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"in_channels": 8, "width": 8, "dilations": (2, 1), "pads": (2, 1, 2, 1), "batch": 2},
    {"in_channels": 32, "out_channels": 33, "height": 3, "width": 5},
    {"height": 2, "width": 6, "kernel": (3, 5), "pads": (1, 2, 1, 2)},
    {"kernel": (1, 1), "pads": (0, 0, 0, 0), "strides": (2, 2), "width": 9, "out_channels": 2},
    {"kernel": (3, 3), "pads": (0, 0, 0, 0), "width": 9, "height": 5, "in_channels": 4},
]


def nodes(rng: np.random.Generator) -> list[Node]:
    """Gathered words in every number modulo the loop's, both forms of scaling, degenerate masks."""
    window = cases.conv_node(rng, in_channels=12, out_channels=34, height=5, width=6)
    found = [pruned(unclamped(window, -128, 0.002), columns(16, d / 8), rng) for d in range(1, 6)]
    found.append(pruned(unclamped(window, 3, 0.002), singles(0.05), rng))
    found += [
        pruned(unclamped(cases.conv_node(rng, **case), 3, 0.002), columns(16, 0.3), rng)
        for case in GEOMETRIES
    ]
    small = cases.conv_node(rng, width=9, in_channels=5, out_channels=9, **ROW)
    return found + [pruned(unclamped(small, -128), mask, rng) for mask in MASKS.values()]


@pytest.mark.parametrize("form", [-128, 3])
@pytest.mark.parametrize("mask", MASKS)
def test_degenerate_patterns(mask, form):
    """Empty layers, rows and blocks, single weights, nearly dense layers; channels that no pattern divides."""
    rng = np.random.default_rng(2)
    for case in ({"width": 6, "in_channels": 8}, {"width": 9, "in_channels": 5, "out_channels": 9}):
        node = cases.conv_node(rng, **ROW, **case)
        assert_exact(pruned(unclamped(node, form), MASKS[mask], rng), FAMILY, rng)


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_geometries(case):
    rng = np.random.default_rng(1)
    node = unclamped(cases.conv_node(rng, **case), -128, 0.002)
    assert_exact(pruned(node, columns(16, 0.4), rng), FAMILY, rng)


@pytest.mark.parametrize("zero_point", [-128, 127])
def test_largest_weights_and_inputs(zero_point):
    """Every pair of extremes, where the encodings come nearest to overflow."""
    rng = np.random.default_rng(6)
    node = cases.conv_node(
        rng,
        height=4,
        width=4,
        in_channels=8,
        out_channels=16,
        zero_point=zero_point,
        kernel=(1, 1),
        pads=(0,) * 4,
    )
    w = np.zeros((16, 8), int)
    w[:, [0, 1, 2, 5]] = [[127 if bit >> i & 1 else -127 for i in range(4)] for bit in range(16)]
    node = unclamped(with_weights(node, w.reshape(16, 1, 1, 8), np.zeros(16)), -128, 0.002)
    x = np.array([[127 if pixel >> (i % 4) & 1 else -128 for i in range(8)] for pixel in range(16)], np.int8)
    values = {"x": x.reshape(1, 4, 4, 8)}
    for candidate in candidates_of(node, FAMILY):
        np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


def test_what_it_does_not_take():
    rng = np.random.default_rng(7)
    kernels = families()[FAMILY]
    node = unclamped(cases.conv_node(rng, in_channels=8, width=4), -128)
    sparse = pruned(node, singles(0.3), rng)
    (candidate, *_) = candidates_of(sparse, FAMILY)
    assert kernels.candidates((sparse,), PLAIN) == ()
    assert kernels.candidates((pruned(node, singles(1.0), rng),), DSP) == ()
    narrow = unclamped(cases.conv_node(rng, in_channels=8, width=3), -128)
    assert kernels.candidates((pruned(narrow, singles(0.3), rng),), DSP) == ()
    far = unclamped(cases.conv_node(rng, in_channels=1366, width=4, **ROW), -128, 0.0005)
    assert kernels.candidates((pruned(far, singles(0.3), rng),), DSP) == ()
    heavy = with_weights(sparse, sparse.inputs[1].value, np.full(8, 1 << 23))
    assert not kernels.admits(candidate, weights_of((heavy,)))
    assert kernels.candidates((replace(sparse, op="FullyConnected"),), DSP) == ()


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi"])
def test_every_candidate_equals_its_reference_in_the_emulator(name: str, tmp_path: Path) -> None:
    rng, device = np.random.default_rng(12), load_device(name)
    candidates = every_candidate(nodes(rng), lambda node: admitted((node,), (FAMILY,), device))
    assert_equal_in_emulator(candidates, device, drawn_samples(rng, candidates, 1), tmp_path)
