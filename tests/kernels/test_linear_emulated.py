"""The portable kernels of the linear operators on emulated Cortex-M cores, all in one library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.graph.ir import Node
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, renamed


def layers(rng: np.random.Generator) -> list[tuple[Node, str]]:
    """A node for every family, and for each form its generated code takes."""
    return [
        (cases.conv_node(rng, out_channels=10, extremes=True), "conv_s8_c"),
        (cases.conv_node(rng, in_channels=6, out_channels=10, group=2, dilations=(1, 2)), "conv_s8_c"),
        (cases.conv_node(rng, in_channels=9, kernel=(1, 1), pads=(0, 0, 0, 0)), "conv_s8_c"),
        (cases.conv_node(rng, in_channels=7, out_channels=7, group=7, strides=(2, 1)), "depthwise_s8_c"),
        (cases.fully_connected_node(rng, rows=(2,), in_features=33, out_features=7), "fully_connected_s8_c"),
        (cases.conv_transpose_node(rng), "conv_transpose_s8_c"),
        (cases.matmul_node(rng), "matmul_s8_c"),
        (cases.matmul_node(rng, (2, 5, 7), (6, 7), transpose_b=True), "matmul_s8_c"),
        (cases.max_pool_node(rng, kernel=(3, 2), pads=(1, 0, 1, 1)), "pool_s8_c"),
        (cases.average_pool_node(rng, kernel=(3, 3), pads=(1, 1, 1, 1)), "pool_s8_c"),
        (cases.reduce_mean_node(rng), "reduce_mean_s8_c"),
        (cases.binary_node(rng, "Add", (1, 4, 6), (4, 1)), "add_s8_c"),
        (cases.binary_node(rng, "Sub"), "add_s8_c"),
        (cases.binary_node(rng, "Mul", (3, 5), (5,), constant_b=True), "mul_s8_c"),
    ]


@pytest.mark.parametrize("name", ["bluepill-f103c8", "nucleo-u575zi"])
def test_every_kernel_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    device = load_device(name)
    candidates = []
    for index, (node, family) in enumerate(layers(rng)):
        (candidate,) = admitted((renamed(node, index),), [family], device)
        candidates.append(candidate)
    assert_equal_in_emulator(candidates, device, drawn_samples(rng, candidates), tmp_path)
