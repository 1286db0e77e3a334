"""The plan of a layer with zeros: which kernel gets it, and what the plan and the report say of it."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Graph
from edgeprune.plan import Objective, plan
from edgeprune.plan.candidates import offered_candidates
from edgeprune.plan.program import Program
from edgeprune.plan.resize import resized
from edgeprune.report.layers import layer_values
from edgeprune.report.zeros import zeros_facts
from tests.support import cases
from tests.support.sparse_nodes import SPARSE, SPARSE_PORTABLE, columns, pruned, singles, unclamped


def words(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """A quarter of the blocks of two outputs times four inputs."""
    return np.kron(rng.random((outputs // 2, inputs // 4)) < 0.25, np.ones((2, 4))).astype(bool)


PATTERNS = {
    "shared": (columns(16, 0.25), "conv_s8_dsp_gathered"),
    "blocks": (words, "conv_s8_dsp_blocks_strips"),
    "few singles": (singles(0.05), "conv_s8_dsp_singles"),
    "many singles": (singles(0.7), "conv_s8_dsp"),
}


def planned(mask, device: str = "nucleo-l4r5zi") -> Program:
    """The plan of a pointwise convolution of 64 channels."""
    rng = np.random.default_rng(0)
    node = cases.conv_node(rng, in_channels=64, out_channels=64, kernel=(1, 1), pads=(0, 0, 0, 0))
    node = pruned(unclamped(node, -128, 0.002), mask, rng)
    graph = Graph("sparse", (node,), (node.inputs[0],), (node.output,))
    return plan(graph, load_device(device), Objective())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_zeros_get_the_kernel_that_pays(pattern):
    mask, family = PATTERNS[pattern]
    (step,) = planned(mask).steps
    assert step.candidate.family == family
    assert (step.candidate.density < 1) == (pattern != "many singles")


HELIUM = {
    "shared": "conv_s8_mve_gathered",
    "blocks": "conv_s8_mve_blocks",
    "few singles": "conv_s8_mve_blocks",
    "many singles": "conv_s8_mve",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_zeros_get_the_kernel_that_pays_with_helium(pattern):
    (step,) = planned(PATTERNS[pattern][0], "mps3-an547").steps
    assert step.candidate.family == HELIUM[pattern]


def test_the_report_says_which_zeros_paid():
    rows = {pattern: layer_values(planned(mask), None, None)[0] for pattern, (mask, _) in PATTERNS.items()}
    shared, many = rows["shared"], rows["many singles"]
    assert shared["density"] + shared["sparsity"] == pytest.approx(1, abs=0.05)
    assert shared["next_best"]["cycles"] >= shared["cycles"]
    assert many["sparsity"] == pytest.approx(0.3, abs=0.02)
    assert many["density"] == 1


def test_cores_without_the_extension_skip_zeros_too():
    (step,) = planned(singles(0.05), "bluepill-f103c8").steps
    assert step.candidate.family == "conv_s8_c_indexed"


def test_layers_of_other_widths_have_no_zeros_to_skip():
    (step,) = planned(columns(16, 0.25)).steps
    device = load_device("nucleo-l4r5zi")
    other = resized(step.nodes[0], 32, 48)
    offered = {candidate.family for candidate in offered_candidates((other,), device)}
    assert offered
    assert not offered & (SPARSE | {SPARSE_PORTABLE})


def test_the_report_says_what_zeros_saved():
    rows = {pattern: layer_values(planned(mask), None, None)[0] for pattern, (mask, _) in PATTERNS.items()}
    saved = rows["shared"]["zeros_saved"]
    assert saved["kernel"].startswith("conv_s8_dsp")
    assert saved["cycles"] > 0 and saved["flash"] > 0
    assert rows["many singles"]["zeros_saved"] is None
    words = dict(
        zeros_facts([{**rows["shared"], "name": "first"}, {**rows["many singles"], "name": "second"}])
    )
    assert "skipped in first" in words["zeros"] and "in second: no sparse kernel pays" in words["zeros"]
    assert zeros_facts([{"name": "of an older report"}]) == []
