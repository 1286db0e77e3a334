"""The plan's values: a Program is steps in order plus the buffers they use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeprune.device import Device
from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.ops import operator_for
from edgeprune.plan.stage_types import StageCandidate

__all__ = ["Buffer", "Layer", "Program", "Step"]


@dataclass(frozen=True)
class Buffer:
    """A range of the arena that holds `tensors` (views of one storage) or a step's scratch.

    `first_step` and `last_step` are inclusive indices into `Program.steps`; graph inputs are alive from
    step 0, graph outputs to the last step. A step's scratch is alive at that step, its persistent bytes always.
    """

    name: str
    tensors: tuple[str, ...]
    region: str
    offset: int
    size_bytes: int
    first_step: int
    last_step: int


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a step that is measured and reported by itself: the nodes it covers and the kernel that runs them."""

    name: str
    step: int
    nodes: tuple[Node, ...]
    candidate: Candidate
    next_best: Candidate | None = None
    whole: bool = True
    """Its output is there as a tensor when the step ends; rows of a stage are not, but for its last layer's."""
    copy_offset: int | None = None
    """Where in the arena its stage copies its constants to."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(operator_for(node).macs(node) for node in self.nodes)


@dataclass(frozen=True, eq=False)
class Step:
    """One call of the library: the nodes it covers, the kernel candidate that runs them, its own buffers."""

    name: str
    nodes: tuple[Node, ...]
    candidate: Candidate
    scratch: Buffer | None = None
    persistent: Buffer | None = None
    next_best: Candidate | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(operator_for(node).macs(node) for node in self.nodes)


@dataclass(frozen=True, eq=False)
class Program:
    """A graph with its execution fixed: what runs, in which order, at which addresses.

    `lower_bound_bytes` is the largest sum of bytes alive at one step when no buffer may overlap another;
    `arena_bytes` below it is what overlap saved.
    """

    graph: Graph
    device: Device
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    arena_bytes: int
    arena_align: int
    persistent_bytes: int
    lower_bound_bytes: int
    fed: str | None = None
    """The graph's input whose rows the caller hands over one by one; no buffer holds it."""
    views: Mapping[str, str] = field(default_factory=dict)
    """Tensors that are views: name -> name of the tensor whose storage they share."""

    parts: tuple[tuple[str, int], ...] = ()
    """The memories that the arena lies in and the bytes in each; offsets go on from one to the next."""

    @property
    def fits_memories(self) -> bool:
        """Whether each part of the arena is no larger than its memory."""
        sizes = {memory.name: memory.size_bytes for memory in self.device.memories}
        return all(size <= sizes[name] for name, size in self.parts)

    def leaves_room(self, size_bytes: int) -> bool:
        """Whether one of the memories that an arena may lie in has so many bytes beside its part: for all else in RAM.

        Stack and static data could lie apart, but few programs are that close, and one place is what linkers expect.
        """
        memories = self.device.data_memories
        taken = dict(self.parts) or {memories[0].name: self.arena_bytes}
        return any(size_bytes <= one.size_bytes - taken.get(one.name, 0) for one in memories)

    def part_start(self, buffer: Buffer) -> int:
        """The offset at which the part of the arena begins that `buffer` lies in."""
        names = [name for name, _ in self.parts]
        before = names.index(buffer.region) if buffer.region in names else 0
        return sum(size for _, size in self.parts[:before])

    @functools.cached_property
    def states(self) -> tuple[Buffer, ...]:
        """The buffers that hold the graph's states, in its order."""
        return tuple(self.buffer_of(state.before.name) for state in self.graph.states)

    @functools.cached_property
    def lasting(self) -> frozenset[Buffer]:
        """The buffers that survive between runs: states, and copies of constants."""
        return frozenset((*self.states, *(step.persistent for step in self.steps if step.persistent)))

    @property
    def scratch_offset(self) -> int:
        """Where what lasts ends: the arena below survives between runs, the rest is free between them."""
        ends = [buffer.offset + buffer.size_bytes for buffer in self.lasting]
        return -(-max(ends, default=0) // self.arena_align) * self.arena_align

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of all steps in their order: a step each, or those of a stage."""
        return tuple(layer for index, step in enumerate(self.steps) for layer in _layers(index, step))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(step.macs for step in self.steps)

    @property
    def parameters(self) -> int:
        """Numbers that the network has learnt: the elements of all its constants."""
        return sum(tensor.elements for tensor in self.graph.tensors() if tensor.value is not None)

    def buffer_of(self, tensor: str) -> Buffer:
        """The buffer that stores `tensor`."""
        return next(buffer for buffer in self.buffers if tensor in buffer.tensors)


def _layers(index: int, step: Step) -> tuple[Layer, ...]:
    if not isinstance(step.candidate, StageCandidate):
        return (Layer(step.name, index, step.nodes, step.candidate, step.next_best),)
    base = 0 if step.scratch is None else step.scratch.offset
    return tuple(
        Layer(
            layer.form.nodes[-1].name,
            index,
            layer.form.nodes,
            layer.form.candidate,
            whole=layer is step.candidate.layers[-1],
            copy_offset=None if layer.copy_offset is None else base + layer.copy_offset,
        )
        for layer in step.candidate.layers
    )
