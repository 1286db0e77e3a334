"""Every candidate for small cores on emulated ones, all in one library: the instructions as they are."""

from __future__ import annotations

import subprocess
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
from tests.kernels.test_dsp_emulated import POINTWISE, program, with_clamp
from tests.kernels.test_linear_emulated import renamed
from tests.support import cases
from tests.support.dsp_kernels import scaled_by
from tests.support.host_kernel import emit_file, reference
from tests.support.tools import lacking

SAMPLES = 3
COMPILER = "arm-none-eabi-gcc"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-align", "-Werror"]


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


def candidates(node: Node, device: Device) -> list[Candidate]:
    """The node's candidates of all families for small cores that admit its weights, which must be at least one."""
    named = [family for name, family in families().items() if name.endswith("_mul32")]
    offered = [(family, candidate) for family in named for candidate in family.candidates((node,), device)]
    found = [candidate for family, candidate in offered if family.admits(candidate, weights_of((node,)))]
    assert found
    return found


def numbered(layers: list[Node], device: Device) -> list[Candidate]:
    """Every candidate of every layer, each for a copy of its node with names of its own."""
    copies = [(node, i) for node in layers for i in range(len(candidates(node, device)))]
    named = [(renamed(node, index), i) for index, (node, i) in enumerate(copies)]
    return [candidates(node, device)[i] for node, i in named]


@pytest.mark.parametrize("name", ["nucleo-g0b1re", "bluepill-f103c8", "esp32c3", "gd32vf103"])
def test_every_candidate_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    device = load_device(name)
    found = numbered(nodes(rng), device)
    sources = generate(program(found, device), "small")
    layers = [candidate.nodes[0] for candidate in found]
    stored = [
        {name: value for node in layers for name, value in cases.stored_inputs(rng, node).items()}
        for _ in range(SAMPLES)
    ]
    inputs = tuple(np.stack([sample[port.tensor.name] for sample in stored]) for port in sources.inputs)
    measurement = run(build(sources, device, tmp_path), inputs, timeout_s=60)
    for candidate, outputs in zip(found, measurement.outputs, strict=True):
        (node,) = candidate.nodes
        for sample, output in zip(stored, outputs, strict=True):
            expected = reference((node,), sample)[node.output.name]
            np.testing.assert_array_equal(
                output.reshape(expected.shape), expected, err_msg=f"{candidate.name} {node.name}"
            )


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
    command = [COMPILER, f"-mcpu={core.core}", "-mthumb", "-std=c99", level, *WARNINGS, "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
