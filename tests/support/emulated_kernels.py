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
from edgeprune.graph.ir import Array, Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.program import Buffer, Program, Step
from tests.support import cases
from tests.support.host_kernel import reference

__all__ = ["assert_equal_in_emulator", "drawn_samples", "every_candidate", "renamed"]


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


def drawn_samples(
    rng: np.random.Generator, candidates: Sequence[Candidate], count: int = 3
) -> list[dict[str, Array]]:
    """Random stored values for the inputs of all candidates, `count` times."""
    return [
        {name: value for c in candidates for name, value in cases.stored_inputs(rng, c.nodes[0]).items()}
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
        (node,) = candidate.nodes
        for sample, output in zip(samples, outputs, strict=True):
            expected = reference((node,), sample)[node.output.name]
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
        (node,) = candidate.nodes
        scratch = Buffer(f"scratch_{index}", (), "sram", 0, candidate.scratch_bytes, index, index)
        steps.append(Step(node.name, (node,), candidate, scratch=scratch))
        distance = candidate.overlap[0] if overlapped else None
        begin = end
        for tensor in (node.output, *(t for t in node.inputs if t.value is None)):
            near = distance is not None and tensor is node.inputs[0]
            start = begin + distance if near else end
            buffers.append(Buffer(tensor.name, (tensor.name,), "sram", start, tensor.bytes, 0, last))
            end = max(end, -(-(start + tensor.bytes) // 8) * 8)
    nodes = tuple(step.nodes[0] for step in steps)
    fed = tuple(t for node in nodes for t in node.inputs if t.value is None)
    graph = Graph("candidates", nodes, fed, tuple(node.output for node in nodes))
    return Program(graph, device, tuple(steps), tuple(buffers), end, 8, 0, end)
