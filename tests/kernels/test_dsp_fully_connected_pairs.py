"""Fully connected layers by pairs of channels against their reference, byte for byte, on the host and in QEMU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import weights_of
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of, scaled_by, with_weights
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.host_kernel import reference, run_on_host

FAMILY = "fully_connected_s8_dsp_pairs"
WHOLE = (-128, 127)
FORMS = {"positive": -128, "fast": 3}


def layer(rng: np.random.Generator, inputs: int, outputs: int, zero: int, real: float = 0.01) -> Node:
    """A layer that needs no clamp and shifts to the right only."""
    node = cases.fully_connected_node(rng, in_features=inputs, out_features=outputs)
    return scaled_by(node, real, zero, WHOLE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outputs", [8, 9, 11, 15, 16, 17])
@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 6, 8, 11, 12, 16, 17, 21])
def test_residues_of_the_blocking(inputs: int, outputs: int, form: str) -> None:
    rng = np.random.default_rng(inputs)
    assert_exact(layer(rng, inputs, outputs, FORMS[form]), FAMILY, rng)


def extreme_layer(rng: np.random.Generator, largest: int, real: float) -> Node:
    """All weights at one end, in every combination within a pair of channels."""
    ends = np.array([(127, 127), (127, -127), (-127, 127), (-127, -127)]).ravel()
    w = np.repeat(ends[:, None], largest, axis=1)
    node = cases.fully_connected_node(rng, in_features=largest, out_features=8, zero_point=0)
    return scaled_by(with_weights(node, w, np.arange(-4, 4)), real, -1, WHOLE)


@pytest.mark.parametrize("real", [0.45, 0.001, 1e-6, 1e-9])
@pytest.mark.parametrize("value", [-128, 127])
def test_sums_at_the_ends_of_their_range(value: int, real: float) -> None:
    """515 products of -127 and -128 are the most that stay below 2**23."""
    node = extreme_layer(np.random.default_rng(0), 515, real)
    values = {"x": np.full(node.inputs[0].shape, value, np.int8)}
    (candidate,) = families()[FAMILY].candidates((node,), DSP)
    assert families()[FAMILY].admits(candidate, weights_of((node,)))
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


def test_what_it_does_not_take() -> None:
    rng = np.random.default_rng(1)
    family = families()[FAMILY]
    assert not family.candidates((layer(rng, 8, 7, 3),), DSP)
    assert not family.candidates((layer(rng, 8, 8, 3),), PLAIN)
    assert not family.candidates((cases.fully_connected_node(rng, rows=(2,)),), DSP)
    refused = [
        extreme_layer(rng, 517, 0.001),
        scaled_by(cases.fully_connected_node(rng), 0.01, 3, (-90, 127)),
        scaled_by(cases.fully_connected_node(rng), 1.7, 3, WHOLE),
        with_weights(layer(rng, 4, 8, 3), np.full((8, 4), -128), np.zeros(8)),
    ]
    for node in refused:
        (candidate,) = family.candidates((node,), DSP)
        assert not family.admits(candidate, weights_of((node,)))


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi"])
def test_instructions_equal_the_reference(name: str, tmp_path: Path) -> None:
    """Every way into the loop, every rest of channels, both forms and the extremes, in one library."""
    rng = np.random.default_rng(2)
    sizes = [(1, 8), (7, 9), (12, 8), (16, 10), (18, 16), (21, 15), (64, 24), (515, 8)]
    layers = [layer(rng, *size, zero) for size in sizes for zero in FORMS.values()]
    layers += [extreme_layer(rng, 515, 0.45), extreme_layer(rng, 515, 1e-6)]
    device = load_device(name)
    candidates = every_candidate(layers, lambda node: candidates_of(node, FAMILY, device))
    assert len(candidates) == len(layers)
    (drawn,) = drawn_samples(rng, candidates, 1)
    ends = [{name: np.full_like(value, end) for name, value in drawn.items()} for end in (-128, 127)]
    assert_equal_in_emulator(candidates, device, [drawn, *ends], tmp_path)
