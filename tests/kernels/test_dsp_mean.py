"""Means for the DSP extension against their reference, byte for byte, on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.kernels import families
from tests.support import cases
from tests.support.dsp_kernels import DSP, PLAIN, assert_exact, candidates_of
from tests.support.host_kernel import reference, run_on_host

FAMILY = "reduce_mean_s8_dsp"


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (1, 5, 3, 8), (1, 16, 16, 4)], ids=str)
def test_shapes(shape):
    rng = np.random.default_rng(sum(shape))
    assert_exact(cases.reduce_mean_node(rng, shape, (1, 2)), FAMILY, rng)


@pytest.mark.parametrize("value", [-128, 127])
def test_largest_sums(value):
    rng = np.random.default_rng(0)
    node = cases.reduce_mean_node(rng, (1, 16, 16, 4), (1, 2))
    node = replace(node, attrs={**node.attrs, "clamp": (-128, 127)})
    values = {"x": np.full((1, 16, 16, 4), value, np.int8)}
    (candidate,) = candidates_of(node, FAMILY)
    np.testing.assert_array_equal(run_on_host(candidate, values)["y"], reference((node,), values)["y"])


def test_refuses_what_it_cannot_prove_or_does_not_fit():
    rng = np.random.default_rng(1)
    family = families()[FAMILY]

    def offered(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
        return bool(family.candidates((cases.reduce_mean_node(rng, shape, axes),), DSP))

    assert offered((1, 16, 16, 4), (1, 2))
    assert not offered((1, 16, 17, 4), (1, 2))
    assert not offered((1, 4, 4, 6), (1, 2))
    assert not offered((1, 4, 4, 4), (2, 3))
    assert not offered((2, 4, 4, 4), (1, 2))
    assert family.candidates((cases.reduce_mean_node(rng, (1, 4, 4, 4), (1, 2)),), PLAIN) == ()
