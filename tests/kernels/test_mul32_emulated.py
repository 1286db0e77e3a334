"""Every candidate for small cores on emulated ones, all in one library: the instructions as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import Device, load_device
from edgeprune.firmware import WARNINGS
from edgeprune.graph.ir import Node
from edgeprune.kernels import families
from edgeprune.kernels.base import Candidate
from tests.support import cases
from tests.support.candidates import admitted
from tests.support.cases import POINTWISE, with_clamp
from tests.support.dsp_kernels import scaled_by
from tests.support.emulated_kernels import assert_equal_in_emulator, drawn_samples, every_candidate
from tests.support.host_kernel import emit_file
from tests.support.tools import lacking

COMPILER = "arm-none-eabi-gcc"


def nodes(rng: np.random.Generator) -> list[Node]:
    """Nodes whose candidates take every path of the generated code."""

    def depthwise(channels: int, **case: object) -> Node:
        return cases.conv_node(rng, in_channels=channels, out_channels=channels, group=channels, **case)

    return [
        cases.conv_node(rng, out_channels=5),
        cases.conv_node(rng, in_channels=8, out_channels=4, height=5, width=7),
        scaled_by(cases.conv_node(rng, in_channels=12, out_channels=2), 0.01, -128, (-128, 127)),
        cases.conv_node(rng, in_channels=3, strides=(2, 2), extremes=True),
        cases.conv_node(rng, in_channels=7, width=7, height=3, **POINTWISE),
        scaled_by(cases.conv_node(rng, width=5, height=3, in_channels=6), 0.005, 3, (-50, 90)),
        cases.conv_node(rng, dilations=(1, 2), pads=(1, 2, 1, 2), in_channels=3),
        with_clamp(cases.conv_node(rng, in_channels=70, out_channels=9, width=4, **POINTWISE), (-128, 127)),
        depthwise(7, extremes=True),
        scaled_by(depthwise(5, height=7, width=7), 0.01, -128, (-128, 127)),
        scaled_by(depthwise(4, height=9, width=6, strides=(2, 2)), 0.01, 3, (-128, 127)),
        depthwise(4, kernel=(5, 5), pads=(2, 2, 2, 2), width=11),
        cases.fully_connected_node(rng, rows=(1,), in_features=33, out_features=7),
        cases.fully_connected_node(rng, rows=(4,), in_features=12, out_features=5),
    ]


def candidates(node: Node, device: Device) -> tuple[Candidate, ...]:
    """The node's candidates of all families for small cores."""
    return admitted((node,), [name for name in families() if name.endswith("_mul32")], device)


@pytest.mark.parametrize("name", ["nucleo-g0b1re", "bluepill-f103c8", "esp32c3", "gd32vf103"])
def test_every_candidate_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device(name)
    found = every_candidate(nodes(rng), lambda node: candidates(node, device))
    assert_equal_in_emulator(found, device, drawn_samples(rng, found), tmp_path)


@pytest.mark.skipif(lacking(COMPILER), reason=f"{COMPILER} is not installed")
@pytest.mark.parametrize("device", ["nucleo-g0b1re", "bluepill-f103c8"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os", "-O3"])
def test_compiles_without_a_warning(device: str, level: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    core = load_device(device)
    found = [candidate for node in nodes(rng) for candidate in candidates(node, core)]
    for number, candidate in enumerate(found):
        (tmp_path / f"layer_{number}.c").write_text(emit_file(candidate)[0])
    sources = sorted(path.name for path in tmp_path.glob("*.c"))
    command = [
        COMPILER,
        f"-mcpu={core.core}",
        "-mthumb",
        "-std=c99",
        level,
        *WARNINGS,
        "-Wcast-align",
        "-c",
        *sources,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
