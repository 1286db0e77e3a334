"""Sums for the DSP extension against their reference, byte for byte, on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.graph.ir import Node, Quant
from edgeprune.kernels import families
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, candidates_of
from tests.support.host_kernel import reference, run_on_host

FAMILY = "add_s8_dsp"


def scaled(node: Node, scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> Node:
    """`node` with the scales and zero points of a, b and y."""
    quants = [Quant.per_tensor(scale, zero) for scale, zero in zip(scales, zeros, strict=True)]
    a, b = (replace(t, quant=q) for t, q in zip(node.inputs, quants, strict=False))
    return replace(node, inputs=(a, b), outputs=(replace(node.output, quant=quants[2]),))


def assert_exact(node: Node, values: dict[str, np.ndarray]) -> None:
    expected = reference((node,), values)["y"]
    (candidate,) = candidates_of(node, FAMILY)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], expected)
    for name in candidate.activation_inputs:
        np.testing.assert_array_equal(run_on_host(candidate, values, overlapped=name)["y"], expected)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11, 24])
@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_residues_of_words(op, count):
    rng = np.random.default_rng(count)
    node = cases.binary_node(rng, op, (1, count), (1, count))
    assert_exact(node, cases.stored_inputs(rng, node))


@pytest.mark.parametrize(
    ("scales", "zeros"),
    [
        ((0.05, 0.03, 0.08), (-128, 127, 0)),
        ((0.05, 0.03, 0.08), (127, -128, -128)),
        ((1.0, 1.0, 1.0), (3, -7, 127)),
        ((8.0, 700.0, 0.4), (-128, 127, 0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("clamp", [(-128, 127), (-100, 50)], ids=str)
def test_every_pair_of_inputs(scales, zeros, clamp):
    rng = np.random.default_rng(0)
    node = cases.binary_node(rng, "Add", (256, 256), (256, 256))
    node = replace(scaled(node, scales, zeros), attrs={**node.attrs, "clamp": clamp})
    a, b = np.meshgrid(np.arange(-128, 128, dtype=np.int8), np.arange(-128, 128, dtype=np.int8))
    values = {"a": a, "b": b}
    (candidate,) = candidates_of(node, FAMILY)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


def test_constant_operand():
    rng = np.random.default_rng(1)
    node = cases.binary_node(rng, "Add", (3, 5), (3, 5), constant_b=True)
    assert_exact(node, cases.stored_inputs(rng, node))


def test_refuses_what_it_cannot_prove_or_does_not_fit():
    rng = np.random.default_rng(2)
    family, node = families()[FAMILY], cases.binary_node(rng, "Add", (3, 4), (3, 4))
    assert family.candidates((node,), PLAIN) == ()
    assert family.candidates((cases.binary_node(rng, "Add", (3, 4), (4,)),), DSP) == ()
    assert family.candidates((scaled(node, (2.0**-14, 2.0**-14, 1.0), (0, 0, 127)),), DSP) == ()
