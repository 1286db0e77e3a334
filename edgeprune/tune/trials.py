"""Programs that run candidates one after another, to be measured: no inference, only layers side by side.

A layer's time depends on shapes, constants and the device, not on what its neighbours answer. So each candidate is
a step of its own on tensors that no step has filled, and one image measures as many as the emulated board holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from edgeprune.device import Device
from edgeprune.graph.ir import Graph, Tensor
from edgeprune.kernels.base import Candidate
from edgeprune.plan import Objective, Program
from edgeprune.plan.fusion import fusible_pairs
from edgeprune.plan.grouping import standing_groups
from edgeprune.plan.measured import candidate_key
from edgeprune.plan.program import Buffer, Step
from edgeprune.plan.schedule import schedule, with_placements

__all__ = ["rivals", "trial_programs"]

_ALIGN = 8
_SHARE = 0.5
"""Of the emulated board's flash and RAM, what one image may take: estimates leave code out that layers share."""
_ANY_BUDGET = Objective("latency", flash_bytes=1, ram_bytes=1)
"""Candidates that are offered only under a budget are measured too."""


def rivals(graph: Graph, device: Device) -> tuple[Candidate, ...]:
    """Every candidate of the steps that have a choice, in the order of the steps; then those of fused pairs.

    Steps that read indices are left out: what lies in memory that nothing has filled is no index.
    """
    pairs, standing = fusible_pairs(graph, device), standing_groups(graph)
    apart, together = (
        with_placements(schedule(graph, device, _ANY_BUDGET, fused), device, _ANY_BUDGET)
        for fused in (standing, (*standing, *pairs))
    )
    choices = [step for step in apart.options if len(step) > 1 and not _reads_indices(step[0].candidate)]
    choices += [step for step in together.options if step[0].candidate.nodes in pairs]
    found = tuple(option.candidate for step in choices for option in step)
    keys = [candidate_key(candidate) for candidate in found]
    assert len(set(keys)) == len(keys), "two candidates of a step have one name"
    return found


def trial_programs(candidates: Sequence[Candidate], device: Device) -> Iterator[Program]:
    """Programs of one step per candidate; candidates too large for the emulated board are left out."""
    batch = _Batch(device)
    for candidate in candidates:
        if not _Batch(device).has_room(candidate):
            continue
        if not batch.has_room(candidate):
            yield _program(batch)
            batch = _Batch(device)
        batch.add(candidate)
    if batch.candidates:
        yield _program(batch)


def _reads_indices(candidate: Candidate) -> bool:
    tensors = [tensor for node in candidate.nodes for tensor in node.inputs if tensor.value is None]
    return any(tensor.dtype in ("int32", "int64") for tensor in tensors)


class _Batch:
    """The candidates of one image, and what they take of its arena but for the scratch that they share.

    What persists comes first, then the tensors, one beside the other; behind them lies the scratch.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.candidates: list[Candidate] = []
        self.tensors: dict[str, Tensor] = {}
        self.flash_bytes = self.persistent_bytes = self.tensor_bytes = self.scratch_bytes = 0

    def has_room(self, candidate: Candidate) -> bool:
        """Whether one image of the emulated board holds the candidate too."""
        board = self.device.emulator
        assert board is not None
        own = sum(_aligned(tensor.bytes) for tensor in self._new(candidate).values())
        kept = self.persistent_bytes + _aligned(candidate.persistent_bytes) + self.tensor_bytes + own
        ram = kept + max(self.scratch_bytes, _aligned(candidate.scratch_bytes))
        flash = self.flash_bytes + candidate.flash_bytes
        return flash <= _SHARE * board.flash_bytes and ram <= _SHARE * board.ram_bytes

    def add(self, candidate: Candidate) -> None:
        """Take the candidate in."""
        new = self._new(candidate)
        self.candidates.append(candidate)
        self.tensors |= new
        self.flash_bytes += candidate.flash_bytes
        self.persistent_bytes += _aligned(candidate.persistent_bytes)
        self.tensor_bytes += sum(_aligned(tensor.bytes) for tensor in new.values())
        self.scratch_bytes = max(self.scratch_bytes, _aligned(candidate.scratch_bytes))

    def _new(self, candidate: Candidate) -> dict[str, Tensor]:
        return {t.name: t for t in _activations(candidate) if t.name not in self.tensors}


def _program(batch: _Batch) -> Program:
    device, last = batch.device, len(batch.candidates) - 1
    region = next(memory.name for memory in device.memories if memory.kind == "ram")
    persistent = _offsets(0, [candidate.persistent_bytes for candidate in batch.candidates])
    places = _offsets(batch.persistent_bytes, [tensor.bytes for tensor in batch.tensors.values()])
    scratch = batch.persistent_bytes + batch.tensor_bytes
    steps = tuple(
        Step(
            candidate.nodes[-1].name,
            candidate.nodes,
            candidate,
            _own("scratch", region, scratch, candidate.scratch_bytes, last),
            _own("persistent", region, offset, candidate.persistent_bytes, last),
        )
        for candidate, offset in zip(batch.candidates, persistent, strict=True)
    )
    buffers = tuple(
        Buffer(tensor.name, (tensor.name,), region, offset, tensor.bytes, 0, last)
        for tensor, offset in zip(batch.tensors.values(), places, strict=True)
    )
    nodes = tuple(node for step in steps for node in step.nodes)
    first = batch.tensors[batch.candidates[0].activation_inputs[0]]
    return Program(
        graph=Graph("tuning", nodes, (first,), (steps[-1].nodes[-1].output,)),
        device=device,
        steps=steps,
        buffers=buffers,
        arena_bytes=scratch + batch.scratch_bytes,
        arena_align=_ALIGN,
        persistent_bytes=sum(candidate.persistent_bytes for candidate in batch.candidates),
        lower_bound_bytes=scratch + batch.scratch_bytes,
    )


def _offsets(start: int, sizes: Iterable[int]) -> list[int]:
    """Where things of these sizes begin, one beside the other from `start` on."""
    return list(itertools.accumulate(map(_aligned, sizes), initial=start))[:-1]


def _own(name: str, region: str, offset: int, size_bytes: int, last: int) -> Buffer | None:
    return Buffer(name, (), region, offset, size_bytes, 0, last) if size_bytes else None


def _activations(candidate: Candidate) -> Iterator[Tensor]:
    """What the step reads and writes; tensors between its nodes are the kernel's own affair."""
    read = set(candidate.activation_inputs)
    for node in candidate.nodes:
        yield from (tensor for tensor in node.inputs if tensor.name in read)
    yield from candidate.nodes[-1].outputs


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGN) * _ALIGN
