"""Every candidate of the DSP families on emulated cores, all in one library: the instructions as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.cases import POINTWISE, with_clamp
from tests.support.dsp_kernels import scaled_by
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate

BLOCKS = (
    (1, 20, 4),
    (2, 7, 4),
    (3, 9, 3),
    (5, 20, 5),
    (9, 71, 4),
    (9, 64, 5),
    (16, 74, 2),
    (11, 12, 7),
    (35, 40, 6),
)
"""Pixels, input and output channels: every size of block, windows of every length modulo 4 and loop, odd channels."""

WINDOWS: tuple[dict[str, Any], ...] = (
    {"kernel": (5, 5), "pads": (2, 2, 2, 2), "height": 6, "width": 7},
    {"kernel": (9, 1), "pads": (4, 0, 4, 0), "height": 11, "width": 3},
    {"kernel": (1, 9), "pads": (0, 4, 0, 4), "height": 2, "width": 13},
    {"kernel": (4, 3), "strides": (3, 2), "height": 9, "width": 10},
    {"kernel": (3, 4), "strides": (1, 3), "pads": (1, 1, 1, 2), "height": 4, "width": 14},
    {"dilations": (3, 2), "pads": (3, 2, 3, 2), "height": 7, "width": 9},
    {"dilations": (1, 3), "strides": (2, 1), "pads": (1, 3, 1, 3), "height": 6, "width": 6},
    {"kernel": (13, 11), "pads": (6, 5, 6, 5), "height": 5, "width": 9},
    {"kernel": (1, 40), "strides": (1, 5), "pads": (0, 39, 0, 3), "height": 2, "width": 60},
    {"kernel": (6, 6), "pads": (0, 0, 0, 0), "height": 6, "width": 6},
)
"""Odd and even windows in both directions, strides and dilations; some whose kernel rows are a loop."""


FEW_CHANNELS: tuple[dict[str, Any], ...] = (
    {"in_channels": 3, "height": 7, "width": 6, "out_channels": 5},
    {"in_channels": 3, "height": 8, "width": 5, "out_channels": 2, "strides": (2, 2)},
    {"in_channels": 1, "height": 5, "width": 7, "kernel": (5, 5), "pads": (2, 2, 2, 2)},
    {"in_channels": 1, "height": 13, "width": 10, "kernel": (10, 4), "pads": (4, 1, 5, 1), "strides": (2, 2)},
    {"in_channels": 2, "height": 1, "width": 9, "kernel": (1, 9), "pads": (0, 4, 0, 4)},
)
"""Strips of one to four rows, rows with a copy and without, kernel rows in one stretch and in a loop."""


def pointwise(rng: np.random.Generator, pixels: int, inputs: int, outputs: int) -> Node:
    """A pointwise convolution of one row of pixels."""
    return cases.conv_node(rng, height=1, width=pixels, in_channels=inputs, out_channels=outputs, **POINTWISE)


def nodes(rng: np.random.Generator) -> list[Node]:
    """Nodes whose candidates take every path of the code for the extension."""

    def depthwise(channels: int, **case: object) -> Node:
        return cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)

    return [
        cases.conv_node(rng, out_channels=5),
        cases.conv_node(rng, in_channels=8, out_channels=4, height=5, width=7),
        cases.conv_node(rng, in_channels=20, out_channels=1, height=3, width=9),
        scaled_by(cases.conv_node(rng, in_channels=12, out_channels=2), 0.01, -128, (-128, 127)),
        cases.conv_node(rng, in_channels=3, strides=(2, 2)),
        cases.conv_node(rng, in_channels=7, width=7, height=3, **POINTWISE),
        scaled_by(cases.conv_node(rng, width=5, height=3, in_channels=6), 0.005, 3, (-128, 127)),
        scaled_by(
            cases.conv_node(rng, width=4, height=2, out_channels=7, **POINTWISE), 0.01, -128, (-128, 127)
        ),
        scaled_by(cases.conv_node(rng, width=7, height=1, out_channels=3, **POINTWISE), 0.01, 3, (-128, 127)),
        *(scaled_by(pointwise(rng, *shape), 0.01, -128, (-128, 127)) for shape in BLOCKS[::2]),
        *(scaled_by(pointwise(rng, *shape), 0.01, 3, (-128, 127)) for shape in BLOCKS[1::2]),
        scaled_by(cases.conv_node(rng, in_channels=24, height=5, width=6), 0.002, 3, (-128, 127)),
        scaled_by(cases.conv_node(rng, in_channels=36, height=3, width=5), 0.002, -128, (-128, 127)),
        *(
            scaled_by(cases.conv_node(rng, **case), 0.01, zero, (-128, 127))
            for zero in (-128, 3)
            for case in FEW_CHANNELS
        ),
        depthwise(7),
        scaled_by(depthwise(5, height=7, width=7), 0.01, -128, (-128, 127)),
        scaled_by(depthwise(4, height=6, width=5, strides=(2, 1)), 0.01, 3, (-128, 127)),
        scaled_by(depthwise(4, height=9, width=6, strides=(2, 2)), 0.01, -128, (-128, 127)),
        scaled_by(depthwise(4, height=8, width=9, strides=(1, 2)), 0.01, 3, (-128, 127)),
        scaled_by(depthwise(3, height=33, width=40), 0.01, 3, (-128, 127)),
        depthwise(8, strides=(2, 2), height=9, width=11),
        depthwise(4, kernel=(5, 5), pads=(2, 2, 2, 2)),
        *(
            scaled_by(depthwise(4, **window), 0.005, zero, (-128, 127))
            for zero in (-128, 3)
            for window in WINDOWS
        ),
        with_clamp(cases.binary_node(rng, "Add", (3, 5), (3, 5)), (-128, 127)),
        with_clamp(cases.binary_node(rng, "Add", (3, 5), (3, 5)), (-30, 40)),
        cases.binary_node(rng, "Sub", (3, 4, 4), (3, 4, 4)),
        cases.reduce_mean_node(rng, (1, 5, 5, 8), (1, 2)),
        cases.fully_connected_node(rng, rows=(1,), in_features=33, out_features=7),
        cases.fully_connected_node(rng, rows=(3,), in_features=12, out_features=5),
    ]


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "nucleo-u575zi"])
def test_every_candidate_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device(name)
    named = [family for family in families() if "_dsp" in family]
    candidates = every_candidate(nodes(rng), lambda node: admitted((node,), named, device))
    assert_equal_in_emulator(candidates, device, drawn_samples(rng, candidates), tmp_path)
