"""Every candidate of the sparse families on emulated cores, all in one library: the instructions as they are."""

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
from tests.support.sparse_nodes import MASKS, SPARSE, SPARSE_PORTABLE, columns, pruned, singles, unclamped

MATRICES = ((21, 19), (270, 8), (64, 40))


def nodes(rng: np.random.Generator) -> list[Node]:
    """Every pattern; gathered words in every number modulo the loop's, both forms of scaling, bytes and halfwords."""
    shapes = [(16, 8, 6), (13, 20, 9), (8, 70, 18), (5, 290, 7)]
    found = [
        pruned(
            unclamped(
                cases.conv_node(rng, height=1, width=w, in_channels=c, out_channels=o, **POINTWISE), zero
            ),
            mask,
            rng,
        )
        for (w, c, o), zero in zip(shapes, (-128, 3, 3, -128), strict=True)
        for mask in MASKS.values()
    ]
    window = cases.conv_node(rng, in_channels=12, out_channels=34, height=5, width=6)
    found += [pruned(unclamped(window, -128, 0.002), columns(16, d / 8), rng) for d in range(1, 6)]
    found.append(pruned(unclamped(window, 3, 0.002), singles(0.05), rng))
    for (inputs, outputs), zero in zip(MATRICES, (-128, 3, -128), strict=True):
        layer = cases.fully_connected_node(rng, in_features=inputs, out_features=outputs)
        found += [pruned(unclamped(layer, zero, 0.004), mask, rng) for mask in MASKS.values()]
    return found


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi", "bluepill-f103c8"])
def test_every_candidate_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device(name)
    families = {SPARSE_PORTABLE, *(SPARSE if device.dsp else ())}
    candidates = every_candidate(nodes(rng), lambda node: admitted((node,), sorted(families), device))
    assert {candidate.family for candidate in candidates} == families
    assert_equal_in_emulator(candidates, device, drawn_samples(rng, candidates, 2), tmp_path)
