"""Every candidate of the Helium families on an emulated Cortex-M55: the instructions as they are."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from tests.support import cases
from tests.support.cases import POINTWISE, with_clamp
from tests.support.dsp_kernels import scaled_by, with_weights
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.mve_kernels import SLOW, mve_candidates

CLAMPS = [(-128, 127), (-128, 127), (-100, 50)]
SECTIONS = ("-ffunction-sections", "-fdata-sections")


def residues(rng: np.random.Generator) -> list[Node]:
    """Inputs modulo 16, output channels modulo 16 and pixels modulo 3, in convolutions and fully connected layers."""
    convolutions = [
        cases.conv_node(
            rng,
            height=1,
            width=1 + inputs % 7,
            in_channels=inputs,
            out_channels=1 + inputs * 7 % 16,
            extremes=True,
            clamp=CLAMPS[inputs % 3],
            **POINTWISE,
        )
        for inputs in range(1, 18)
    ]
    rows = [
        cases.fully_connected_node(rng, in_features=40 - outputs, out_features=outputs, extremes=True)
        for outputs in range(1, 18)
    ]
    return convolutions + rows


def windows(rng: np.random.Generator) -> list[Node]:
    """Convolutions of other windows, wide and narrow."""
    return [
        cases.conv_node(rng, in_channels=16, out_channels=66, width=5),
        cases.conv_node(rng, in_channels=3, out_channels=17, strides=(2, 2), pads=(0, 0, 1, 1)),
        cases.conv_node(rng, in_channels=19, out_channels=130, height=4, width=4, **POINTWISE),
        cases.conv_node(rng, in_channels=20, kernel=(1, 3), pads=(0, 0, 0, 0), batch=2, strides=(2, 1)),
        cases.conv_node(rng, in_channels=33, kernel=(2, 2), dilations=(2, 2), pads=(1, 1, 1, 1)),
        cases.conv_node(rng, in_channels=1, kernel=(10, 4), pads=(4, 1, 5, 1), strides=(2, 2), height=20),
        cases.fully_connected_node(rng, rows=(4,), in_features=21, out_features=9),
    ]


def depthwise(rng: np.random.Generator) -> list[Node]:
    """Depthwise convolutions: channels modulo 16, even and odd taps, one tap."""
    shapes = [{}, {"strides": (2, 2)}, {"kernel": (2, 3)}, {"dilations": (1, 2), "batch": 2}, POINTWISE]
    return [
        cases.conv_node(
            rng,
            in_channels=channels,
            out_channels=channels,
            group=channels,
            height=4,
            clamp=CLAMPS[channels % 3],
            **shapes[channels % 5],
        )
        for channels in range(1, 35)
    ]


def scalings(rng: np.random.Generator) -> list[Node]:
    """Every form of requantisation, with and without a clamp, of sums up to the largest."""
    found = []
    for group in (1, 18):
        node = cases.conv_node(rng, in_channels=18, out_channels=18, group=group, **POINTWISE)
        for real in (0.9, 0.3, 0.01, 2.0**-23, 2.0**-40):
            found += [
                scaled_by(node, real, zero, clamp)
                for zero, clamp in ((-128, (-128, 127)), (5, (-128, 127)), (-20, (-20, 60)), (0, (-9, 9)))
            ]
        small = with_weights(node, rng.integers(-1, 2, node.inputs[1].shape), np.full(18, 1 << 30))
        found.append(scaled_by(small, 9.7, 3, (-128, 127)))
        ties = with_weights(node, np.zeros(node.inputs[1].shape), np.arange(-9, 9))
        found.append(scaled_by(ties, 0.5, 3, (-128, 127)))
        found.append(scaled_by(ties, 0.25, 3, (-128, 127)))
    return found


def means(rng: np.random.Generator) -> list[Node]:
    """Means of channels modulo 8."""
    return [cases.reduce_mean_node(rng, (1, 5, 7, channels), (1, 2)) for channels in (3, 8, 12, 16, 21)]


def pools(rng: np.random.Generator) -> list[Node]:
    """The largest and the average of windows; channels modulo 16 and 8."""
    largest = [
        cases.max_pool_node(rng, (1, 7, 6, channels), kernel=(3, 2), pads=(1, 0, 1, 1))
        for channels in (3, 16, 21, 40)
    ]
    return largest + [cases.average_pool_node(rng, (1, 6, 7, channels)) for channels in (3, 8, 21)]


def sums(rng: np.random.Generator) -> list[Node]:
    """Additions."""
    nodes = [cases.binary_node(rng, "Add", (3, 5), (3, 5)) for _ in range(3)]
    return [*(with_clamp(node, clamp) for node, clamp in zip(nodes, CLAMPS, strict=True)),
            cases.binary_node(rng, "Sub", (3, 4, 4), (3, 4, 4))]  # fmt: skip


def check(nodes: list[Node], rng: np.random.Generator, folder: Path, *, overlapped: bool) -> None:
    """Run every candidate of every node and compare with the references."""
    device = replace(load_device("mps3-an547"), flash=SLOW.flash)
    candidates = every_candidate(nodes, lambda node: mve_candidates(node, device))
    assert_equal_in_emulator(
        candidates, device, drawn_samples(rng, candidates), folder, overlapped=overlapped
    )


GROUPS = [residues, windows, depthwise, scalings, means, pools, sums]


@pytest.mark.parametrize("level", ["-Os", "-O3"])
@pytest.mark.parametrize("made", GROUPS, ids=lambda made: made.__name__)
def test_every_candidate_equals_its_reference(made, level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    building = importlib.import_module("edgeprune.firmware.build")
    monkeypatch.setattr(building, "_OPTIMISATION", ("-std=c99", level, *SECTIONS))
    rng = np.random.default_rng(12)
    check(made(rng), rng, tmp_path, overlapped=False)


@pytest.mark.parametrize("made", GROUPS, ids=lambda made: made.__name__)
def test_every_candidate_overlaps_as_it_declares(made, tmp_path: Path):
    rng = np.random.default_rng(13)
    check(made(rng), rng, tmp_path, overlapped=True)
