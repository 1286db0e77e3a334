"""Executes a program's memory plan in one array of owner tags: every read must find what was written for it.

What a kernel does within its own step is tested by the kernels' own tests, overlap included; here a step that is no
stage fills its scratch, reads its inputs whole and its copies of constants, and then writes its outputs. A stage is
executed turn by turn, from its layers' windows alone: each turn finds its rows, fills its scratch, and writes its row.
What `init` leaves in the persistent part must be there in every run, so there are two.
"""

from __future__ import annotations

import numpy as np

from edgeprune.kernels.base import RowForm
from edgeprune.plan.program import Program, Step
from edgeprune.plan.rows import image_rows, row_bytes
from edgeprune.plan.stage_types import StageCandidate

__all__ = ["simulate"]

_POISON = -1


class _Arena:
    def __init__(self, program: Program) -> None:
        self.program = program
        self._owner = np.full(program.arena_bytes, _POISON)
        self._tags: dict[object, int] = {}

    def write(self, start: int, size: int, owner: object) -> None:
        assert start >= 0
        assert start + size <= len(self._owner), f"{owner} leaves the arena"
        self._owner[start : start + size] = self._tags.setdefault(owner, len(self._tags))

    def poison(self, start: int, size: int) -> None:
        self._owner[start : start + size] = _POISON

    def read(self, start: int, size: int, owner: object) -> None:
        held = self._owner[start : start + size] == self._tags[owner]
        assert held.all(), f"{owner}: byte {int(np.argmin(held))} was overwritten"

    def offset(self, tensor: str) -> int:
        return self.program.buffer_of(tensor).offset

    def write_tensor(self, tensor) -> None:
        self.write(self.offset(tensor.name), tensor.bytes, self.holder(tensor.name))

    def read_tensor(self, name: str) -> None:
        buffer = self.program.buffer_of(name)
        self.read(buffer.offset, buffer.size_bytes, self.holder(name))

    def holder(self, name: str) -> str:
        """The tensor whose bytes those of `name` are."""
        return self.program.views.get(name, name)


def simulate(program: Program) -> int:
    """Run `program` twice on tags; the number of turns that stages took in a run."""
    arena = _Arena(program)
    for step in program.steps:
        if step.persistent is not None:
            arena.write(step.persistent.offset, step.persistent.size_bytes, step.persistent.name)
    return [_run(program, arena) for _ in range(2)][-1]


def _run(program: Program, arena: _Arena) -> int:
    turns = 0
    for tensor in program.graph.inputs:
        if tensor.name != program.fed:
            arena.write_tensor(tensor)
    for step in program.steps:
        if isinstance(step.candidate, StageCandidate):
            turns += _run_stage(arena, step, step.candidate)
        else:
            _run_step(arena, step)
    for tensor in program.graph.outputs:
        arena.read_tensor(tensor.name)
    return turns


def _run_step(arena: _Arena, step: Step) -> None:
    for name in step.candidate.activation_inputs:
        arena.read_tensor(name)
    if step.scratch is not None:
        arena.write(step.scratch.offset, step.scratch.size_bytes, "scratch")
    for name in step.candidate.activation_inputs:
        arena.read_tensor(name)
    if step.persistent is not None:
        arena.read(step.persistent.offset, step.persistent.size_bytes, step.persistent.name)
    for tensor in step.nodes[-1].outputs:
        arena.write_tensor(tensor)
    if step.scratch is not None:
        arena.read(step.scratch.offset, step.scratch.size_bytes, "scratch")


class _Stage:
    def __init__(self, arena: _Arena, step: Step, stage: StageCandidate) -> None:
        self.arena, self.stage = arena, stage
        self.base = 0 if step.scratch is None else step.scratch.offset
        self.size = 0 if step.scratch is None else step.scratch.size_bytes
        self.lines = stage.lines or {}

    def place(self, tensor, row: int) -> tuple[int, int, object]:
        """Address, size and owner of a row."""
        size = row_bytes(tensor)
        if tensor.name in self.lines:
            offset = self.lines[tensor.name].offsets[row]
            assert offset + size <= self.size, "a row leaves the stage's scratch"
            return self.base + offset, size, (tensor.name, row)
        return self.arena.offset(tensor.name) + row * size, size, self.arena.holder(tensor.name)

    def copy(self, index: int) -> tuple[int, int, object]:
        """Address, size and owner of a layer's copy of its constants."""
        layer = self.stage.layers[index]
        size = layer.form.candidate.copied_bytes
        assert layer.copy_offset is not None
        assert layer.copy_offset + size <= self.size, "a copy leaves the stage's scratch"
        return self.base + layer.copy_offset, size, (index, "constants")

    def turn(self, index: int, number: int) -> None:
        """Layer `index` runs for the `number`-th time."""
        layer = self.stage.layers[index]
        form = layer.form
        for tensor, row in _rows_read(form, number):
            self.arena.read(*self.place(tensor, row))
        if layer.copy_offset is not None:
            self.arena.read(*self.copy(index))
        scratch = form.candidate.scratch_bytes
        assert scratch <= self.size
        self.arena.poison(self.base, scratch)
        for tensor, row in _rows_read(form, number):
            self.arena.read(*self.place(tensor, row))
        if layer.state_offset is not None:
            state = self.base + layer.state_offset, form.state_bytes, (index, "sums")
            if number > 0:
                self.arena.read(*state)
            self.arena.write(*state)
        if layer.state_offset is None or number == layer.turns - 1:
            output = form.nodes[-1].output
            own = self.place(output, 0 if layer.state_offset is not None else number)
            kept = [name for name, window in form.windows.items() if window.keeps_place]
            self.arena.write(*own)
            for tensor, row in _rows_read(form, number):
                start, size, owner = self.place(tensor, row)
                if tensor.name in kept:
                    assert start >= own[0] or start + size <= own[0], "written before it is read"
                else:
                    self.arena.read(start, size, owner)


def _rows_read(form: RowForm, number: int):
    tensors = {tensor.name: tensor for node in form.nodes for tensor in node.inputs}
    for name, window in form.windows.items():
        for tap in range(window.kernel):
            row = window.first(number) + tap * window.dilation
            if 0 <= row < image_rows(tensors[name]):
                yield tensors[name], row


def _run_stage(arena: _Arena, step: Step, stage: StageCandidate) -> int:
    found, done = _Stage(arena, step, stage), [0] * len(stage.layers)
    arrived = 0
    for index, layer in enumerate(stage.layers):
        if layer.copy_offset is not None:
            arena.write(*found.copy(index))
    for index in stage.order:
        if index == len(stage.layers):
            tensor = next(tensor for tensor in arena.program.graph.tensors() if tensor.name == stage.fed)
            arena.write(*found.place(tensor, arrived))
            arrived += 1
        else:
            found.turn(index, done[index])
            done[index] += 1
    assert done == [layer.turns for layer in stage.layers]
    return len(stage.order)
