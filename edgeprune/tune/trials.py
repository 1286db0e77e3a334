"""Programs that run candidates one after another, to be measured: no inference, only layers side by side.

A layer's time depends on shapes, constants and the device, not on what its neighbours answer. So each candidate is
a step of its own on tensors that no step has filled, and one image measures as many as the emulated board holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    batch: list[Candidate] = []
    for candidate in candidates:
        if not _holds([candidate], device):
            continue
        if not _holds([*batch, candidate], device):
            yield _program(batch, device)
            batch = []
        batch.append(candidate)
    if batch:
        yield _program(batch, device)


def _reads_indices(candidate: Candidate) -> bool:
    tensors = [tensor for node in candidate.nodes for tensor in node.inputs if tensor.value is None]
    return any(tensor.dtype in ("int32", "int64") for tensor in tensors)


def _holds(batch: Sequence[Candidate], device: Device) -> bool:
    """Whether one image of the emulated board holds the batch."""
    assert device.emulator is not None
    flash = sum(candidate.flash_bytes for candidate in batch)
    return (
        flash <= _SHARE * device.emulator.flash_bytes
        and _Arena(batch).size_bytes <= _SHARE * device.emulator.ram_bytes
    )


class _Arena:
    """What persists, then the batch's tensors, one beside the other, and behind them one scratch for all."""

    def __init__(self, batch: Sequence[Candidate]) -> None:
        self.offsets: dict[str, int] = {}
        self.persistent = []
        end = 0
        for candidate in batch:
            self.persistent.append(end)
            end += _aligned(candidate.persistent_bytes)
        self.tensors = {tensor.name: tensor for candidate in batch for tensor in _activations(candidate)}
        for name, tensor in self.tensors.items():
            self.offsets[name] = end
            end += _aligned(tensor.bytes)
        self.scratch = end
        end += _aligned(max((candidate.scratch_bytes for candidate in batch), default=0))
        self.size_bytes = end


def _program(batch: Sequence[Candidate], device: Device) -> Program:
    arena, last = _Arena(batch), len(batch) - 1
    region = next(memory.name for memory in device.memories if memory.kind == "ram")
    steps = tuple(
        Step(
            candidate.nodes[-1].name,
            candidate.nodes,
            candidate,
            _own("scratch", region, arena.scratch, candidate.scratch_bytes, last),
            _own("persistent", region, arena.persistent[index], candidate.persistent_bytes, last),
        )
        for index, candidate in enumerate(batch)
    )
    buffers = tuple(
        Buffer(name, (name,), region, offset, arena.tensors[name].bytes, 0, last)
        for name, offset in arena.offsets.items()
    )
    nodes = tuple(node for step in steps for node in step.nodes)
    first = arena.tensors[batch[0].activation_inputs[0]]
    return Program(
        graph=Graph("tuning", nodes, (first,), (steps[-1].nodes[-1].output,)),
        device=device,
        steps=steps,
        buffers=buffers,
        arena_bytes=arena.size_bytes,
        arena_align=_ALIGN,
        persistent_bytes=sum(candidate.persistent_bytes for candidate in batch),
        lower_bound_bytes=arena.size_bytes,
    )


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
