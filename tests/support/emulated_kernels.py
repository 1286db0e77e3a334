"""Candidates of many nodes in one library on an emulated core, each against the reference of its node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeprune.codegen.generate import generate
from edgeprune.device import Device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Array, Graph, Node, Tensor
from edgeprune.kernels.base import Candidate
from edgeprune.plan.program import Buffer, Program, Step
from tests.support.host_kernel import random_stored, reference

__all__ = ["assert_equal_in_emulator", "drawn_samples", "every_candidate", "every_fused", "renamed"]


def renamed(node: Node, index: int) -> Node:
    """The node with names of its own in a graph of several."""
    inputs = tuple(replace(t, name=f"{t.name}_{index}") for t in node.inputs)
    outputs = tuple(replace(t, name=f"{t.name}_{index}") for t in node.outputs)
    return Node(node.op, f"{node.name}_{index}", inputs, outputs, node.attrs)


def every_candidate(
    nodes: Sequence[Node], candidates_of: Callable[[Node], Sequence[Candidate]]
) -> list[Candidate]:
    """All candidates of all nodes, each for a copy of its node with names of its own."""
    copies = [(node, i) for node in nodes for i in range(len(candidates_of(node)))]
    return [candidates_of(renamed(node, index))[i] for index, (node, i) in enumerate(copies)]


def every_fused(
    groups: Sequence[tuple[Node, ...]], candidates_of: Callable[[tuple[Node, ...]], Sequence[Candidate]]
) -> list[Candidate]:
    """As `every_candidate`, of nodes that are one step together."""
    copies = [(nodes, i) for nodes in groups for i in range(len(candidates_of(nodes)))]
    return [
        candidates_of(tuple(renamed(node, index) for node in nodes))[i]
        for index, (nodes, i) in enumerate(copies)
    ]


def drawn_samples(
    rng: np.random.Generator, candidates: Sequence[Candidate], count: int = 3
) -> list[dict[str, Array]]:
    """Random stored values for the inputs of all candidates, `count` times."""
    return [
        {tensor.name: random_stored(rng, tensor.shape) for c in candidates for tensor in _read(c)}
        for _ in range(count)
    ]


def assert_equal_in_emulator(
    candidates: Sequence[Candidate],
    device: Device,
    samples: Sequence[dict[str, Array]],
    folder: Path,
    *,
    overlapped: bool = False,
) -> None:
    """Every candidate gives its reference's bytes for all samples.

    With `overlapped`, a first input lies as near above the start of the output as its candidate declares.
    """
    sources = generate(_program(candidates, device, overlapped=overlapped), "net")
    inputs = tuple(np.stack([one[port.tensor.name] for one in samples]) for port in sources.inputs)
    measurement = run(build(sources, device, folder), inputs, timeout_s=60)
    for candidate, outputs in zip(candidates, measurement.outputs, strict=True):
        node = candidate.nodes[-1]
        for sample, output in zip(samples, outputs, strict=True):
            expected = reference(candidate.nodes, sample)[node.output.name]
            np.testing.assert_array_equal(
                output.reshape(expected.shape), expected, err_msg=f"{candidate.name} {node.name}"
            )


def _program(candidates: Sequence[Candidate], device: Device, *, overlapped: bool) -> Program:
    """All candidates one after the other, each with inputs and outputs of its own; they share scratch."""
    last = len(candidates) - 1
    end = -(-max(c.scratch_bytes for c in candidates) // 8) * 8
    buffers: list[Buffer] = []
    steps: list[Step] = []
    for index, candidate in enumerate(candidates):
        node, read = candidate.nodes[-1], _read(candidate)
        scratch = Buffer(f"scratch_{index}", (), "sram", 0, candidate.scratch_bytes, index, index)
        steps.append(Step(node.name, candidate.nodes, candidate, scratch=scratch))
        distance = candidate.overlap[0] if overlapped else None
        begin = end
        for tensor in (node.output, *read):
            near = distance is not None and tensor is read[0]
            start = begin + distance if near else end
            buffers.append(Buffer(tensor.name, (tensor.name,), "sram", start, tensor.bytes, 0, last))
            end = max(end, -(-(start + tensor.bytes) // 8) * 8)
    nodes = tuple(node for step in steps for node in step.nodes)
    fed = tuple(tensor for candidate in candidates for tensor in _read(candidate))
    graph = Graph("candidates", nodes, fed, tuple(step.nodes[-1].output for step in steps))
    return Program(graph, device, tuple(steps), tuple(buffers), end, 8, 0, end)


def _read(candidate: Candidate) -> list[Tensor]:
    """The tensors called `activation_inputs`, in their order."""
    tensors = {tensor.name: tensor for node in candidate.nodes for tensor in node.inputs}
    return [tensors[name] for name in candidate.activation_inputs]
