"""The last word on a packing: every rule checked again on the finished program, from what the steps say."""

from __future__ import annotations

from itertools import accumulate, combinations

from edgeprune.plan.kept import earlier_nodes
from edgeprune.plan.program import Buffer, Program, Step

__all__ = ["check_program"]


def check_program(program: Program) -> None:
    """Check that no step of `program` can overwrite what a later step or the caller still reads.

    Raises:
        AssertionError: a rule is broken, which is a defect of the planner; the text says which.
    """
    home = {tensor: buffer for buffer in program.buffers for tensor in buffer.tensors}
    _check_states(program)
    _check_uses(program, home)
    for buffer in program.buffers:
        _require(buffer.offset >= 0, f"{buffer.name!r} starts below the arena")
        _require(
            buffer.offset + buffer.size_bytes <= program.arena_bytes, f"{buffer.name!r} leaves the arena"
        )
        ends = set(accumulate(size for _, size in program.parts[:-1]))
        inside = not any(buffer.offset < end < buffer.offset + buffer.size_bytes for end in ends)
        _require(inside, f"{buffer.name!r} lies in two memories")
    for one, other in combinations(program.buffers, 2):
        meet = one.first_step <= other.last_step and other.first_step <= one.last_step
        touch = one.offset < other.offset + other.size_bytes and other.offset < one.offset + one.size_bytes
        if meet and touch:
            allowed = _may_overlap(program, one, other) or _may_overlap(program, other, one)
            _require(allowed, f"{one.name!r} and {other.name!r} share bytes while both are alive")


def _check_uses(program: Program, home: dict[str, Buffer]) -> None:
    """Every tensor has its bytes, from before its first use until after its last."""
    end = max(len(program.steps) - 1, 0)
    kept = {buffer.name for buffer in program.states}
    written = {home[tensor.name].name for tensor in program.graph.inputs if tensor.name != program.fed} | kept
    for tensor in program.graph.inputs:
        if tensor.name == program.fed:
            continue
        _require(home[tensor.name].first_step == 0, f"input {tensor.name!r} is not alive from the start")
    for index, step in enumerate(program.steps):
        for name in step.candidate.activation_inputs:
            buffer = home[name]
            _require(buffer.name in written, f"step {step.name!r} reads {name!r} before it is computed")
            _require(buffer.last_step >= index, f"{name!r} is not alive when step {step.name!r} reads it")
        for tensor in step.nodes[-1].outputs:
            buffer = home[tensor.name]
            first = 0 if buffer.name in kept else index
            _require(buffer.first_step == first, f"{tensor.name!r} is not alive from step {step.name!r} on")
            _require(buffer.size_bytes >= tensor.bytes, f"{tensor.name!r} is larger than its buffer")
            written.add(buffer.name)
        for own in (step.scratch, step.persistent):
            aligned = own is None or own.offset % program.arena_align == 0
            _require(aligned, f"scratch of step {step.name!r} is not aligned")
    for tensor in program.graph.outputs:
        _require(home[tensor.name].name in written, f"output {tensor.name!r} is never computed")
        _require(home[tensor.name].last_step == end, f"output {tensor.name!r} does not live to the end")


def _check_states(program: Program) -> None:
    """No step reads what a state was once another has stored what it becomes."""
    step_of = {node: index for index, step in enumerate(program.steps) for node in step.nodes}
    for writer, readers in earlier_nodes(program.graph).items():
        late = [reader.name for reader in readers if step_of[reader] >= step_of[writer]]
        _require(not late, f"{late} read the state that step {writer.name!r} has overwritten")


def _may_overlap(program: Program, upper: Buffer, lower: Buffer) -> bool:
    """Whether `upper` is an input that dies at the step which writes `lower` or has it as scratch, far enough above."""
    if upper.last_step != lower.first_step or not upper.tensors:
        return False
    if any(tensor.name in upper.tensors for tensor in program.graph.outputs):
        return False
    step: Step = program.steps[lower.first_step]
    if step.nodes[-1].output.name in lower.tensors:
        distances = step.candidate.overlap
    elif lower == step.scratch:
        distances = step.candidate.scratch_overlap
    else:
        return False
    read = [
        distance
        for name, distance in zip(step.candidate.activation_inputs, distances, strict=False)
        if name in upper.tensors
    ]
    reads = sum(name in upper.tensors for name in step.candidate.activation_inputs)
    if not read or len(read) < reads:
        return False
    return all(distance is not None and upper.offset - lower.offset >= distance for distance in read)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)
