"""The portable kernels of the linear operators on emulated Cortex-M cores, all in one library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen.generate import generate
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels import families
from edgeprune.plan.program import Buffer, Program, Step
from tests.support import cases
from tests.support.host_kernel import reference

SAMPLES = 3


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


def renamed(node: Node, index: int) -> Node:
    """The node with names of its own in a graph of several."""
    inputs = tuple(replace(t, name=f"{t.name}_{index}") for t in node.inputs)
    outputs = tuple(replace(t, name=f"{t.name}_{index}") for t in node.outputs)
    return Node(node.op, f"{node.name}_{index}", inputs, outputs, node.attrs)


def program(layers: list[tuple[Node, str]], device: Device) -> Program:
    """All layers one after the other, each with inputs and outputs of its own."""
    buffers: list[Buffer] = []
    steps, end = [], 0
    for node, family in layers:
        (candidate,) = families()[family].candidates((node,), device)
        steps.append(Step(node.name, (node,), candidate))
        for tensor in (*node.inputs, node.output):
            if tensor.value is None:
                buffers.append(
                    Buffer(tensor.name, (tensor.name,), "sram", end, tensor.bytes, 0, len(layers) - 1)
                )
                end += -(-tensor.bytes // 8) * 8
    nodes = tuple(node for node, _ in layers)
    inputs = tuple(t for node in nodes for t in node.inputs if t.value is None)
    graph = Graph("linear", nodes, inputs, tuple(node.output for node in nodes))
    return Program(graph, device, tuple(steps), tuple(buffers), end, 8, 0, end)


@pytest.mark.parametrize("name", ["bluepill-f103c8", "nucleo-u575zi"])
def test_every_kernel_equals_its_reference(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    device = load_device(name)
    numbered = [(renamed(node, i), family) for i, (node, family) in enumerate(layers(rng))]
    sources = generate(program(numbered, device), "linear")
    stored = [
        {name: value for node, _ in numbered for name, value in cases.stored_inputs(rng, node).items()}
        for _ in range(SAMPLES)
    ]
    inputs = tuple(np.stack([sample[port.tensor.name] for sample in stored]) for port in sources.inputs)
    measurement = run(build(sources, device, tmp_path), inputs, timeout_s=60)
    for (node, _), outputs in zip(numbered, measurement.outputs, strict=True):
        for sample, output in zip(stored, outputs, strict=True):
            expected = reference((node,), sample)[node.output.name]
            np.testing.assert_array_equal(output.reshape(expected.shape), expected, err_msg=node.name)
