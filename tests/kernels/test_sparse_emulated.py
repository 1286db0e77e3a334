"""Every candidate of the sparse families on emulated cores, all in one library: the instructions as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen.generate import generate
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate, weights_of
from tests.kernels.test_dsp_emulated import program
from tests.kernels.test_linear_emulated import renamed
from tests.support import cases
from tests.support.host_kernel import reference
from tests.support.sparse_nodes import MASKS, columns, pruned, singles, unclamped

SAMPLES = 2
POINTWISE = {"kernel": (1, 1), "pads": (0, 0, 0, 0)}
SPARSE = ("_gathered", "_blocks", "_rows", "_indexed")
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


def sparse_candidates(node: Node, device: Device) -> list[Candidate]:
    """The node's candidates of all sparse families, which must be at least one."""
    weights = weights_of((node,))
    found = [
        candidate
        for name, family in families().items()
        if name.endswith(SPARSE)
        for candidate in family.candidates((node,), device)
        if family.admits(candidate, weights)
    ]
    assert found
    return found


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi", "bluepill-f103c8"])
def test_every_candidate_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device(name)
    layers = nodes(rng)
    counts = [len(sparse_candidates(node, device)) for node in layers]
    copies = [(node, i) for node, count in zip(layers, counts, strict=True) for i in range(count)]
    candidates = [
        sparse_candidates(renamed(node, index), device)[i] for index, (node, i) in enumerate(copies)
    ]
    sources = generate(program(candidates, device), "sparse")
    stored = [
        {key: value for c in candidates for key, value in cases.stored_inputs(rng, c.nodes[0]).items()}
        for _ in range(SAMPLES)
    ]
    inputs = tuple(np.stack([sample[port.tensor.name] for sample in stored]) for port in sources.inputs)
    measurement = run(build(sources, device, tmp_path), inputs, timeout_s=60)
    for candidate, outputs in zip(candidates, measurement.outputs, strict=True):
        (node,) = candidate.nodes
        for sample, output in zip(stored, outputs, strict=True):
            expected = reference((node,), sample)[node.output.name]
            np.testing.assert_array_equal(
                output.reshape(expected.shape), expected, err_msg=f"{candidate.name} {node.name}"
            )
