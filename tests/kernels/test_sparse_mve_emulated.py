"""Every candidate of the sparse families for Helium on an emulated Cortex-M55: the instructions as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.cases import POINTWISE
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.sparse_nodes import MASKS, SPARSE_MVE, columns, pruned, singles

SHAPES = (
    {"height": 1, "width": 6, "in_channels": 8, **POINTWISE},
    {"height": 2, "width": 9, "in_channels": 20, "out_channels": 37, **POINTWISE},
    {"height": 1, "width": 7, "in_channels": 300, "out_channels": 20, "clamp": (-90, 50), **POINTWISE},
    {"height": 4, "width": 5, "in_channels": 32, "out_channels": 70},
    {"height": 3, "width": 4, "in_channels": 116, "out_channels": 6},
    {"in_channels": 4, "out_channels": 5, "strides": (2, 2), "pads": (0, 0, 1, 1), "batch": 2},
)
MATRICES = ((40, 19), (1100, 9), (64, 70))


def nodes(rng: np.random.Generator) -> list[Node]:
    """Every pattern; pixels in every number modulo 3, offsets of bytes and of halfwords, vectors in many numbers."""
    found = []
    for mask in MASKS.values():
        found += [pruned(cases.conv_node(rng, extremes=True, **shape), mask, rng) for shape in SHAPES]
        for inputs, outputs in MATRICES:
            layer = cases.fully_connected_node(rng, in_features=inputs, out_features=outputs, extremes=True)
            found.append(pruned(layer, mask, rng))
    window = cases.conv_node(rng, in_channels=12, out_channels=34, height=5, width=6)
    found += [pruned(window, columns(16, eighths / 8), rng) for eighths in range(1, 8)]
    found.append(pruned(window, singles(0.05), rng))
    return found


@pytest.mark.parametrize("overlapped", [False, True], ids=["apart", "overlapped"])
def test_every_candidate_equals_its_reference(overlapped: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device("mps3-an547")
    candidates = every_candidate(nodes(rng), lambda node: admitted((node,), sorted(SPARSE_MVE), device))
    assert {candidate.family for candidate in candidates} == SPARSE_MVE
    samples = drawn_samples(rng, candidates, 2)
    assert_equal_in_emulator(candidates, device, samples, tmp_path, overlapped=overlapped)
