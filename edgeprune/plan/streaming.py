"""Which runs of layers to try as stages.

The schedule's steps, in their order, are cut into steps as they are and stages of several. What a stage needs beside
what else is in use then is known before rows are placed (`stage_estimate`), and so is its time. So for a limit of
memory the fastest cut is a shortest path, and lowering the limit below what it needs gives the next one: the fronts of
time and memory, of which the planner packs and compares a few.

Layers that fit by themselves are left alone, or, where they are asked for, streamed too if memory slows them: two rows
of a fast kernel may fit where all of them do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from edgeprune.device import Device
from edgeprune.kernels.base import Candidate
from edgeprune.plan.kept import touches_state
from edgeprune.plan.lifetimes import Group, Storage
from edgeprune.plan.objective import Objective
from edgeprune.plan.overlap import need_of
from edgeprune.plan.rows import RowForms, image_rows, row_bytes
from edgeprune.plan.schedule import Schedule
from edgeprune.plan.stage import stage_estimate

__all__ = ["Cut", "Reason", "cuts"]

_LONGEST = 40
"""Steps of a stage, at most."""
_MOST_CUTS = 60
_STEP_SHARE = 1 / 32
"""By which the limit falls from one cut to the next."""


class Reason(Enum):
    """Why layers are streamed: each stage has at least one such layer."""

    UNFIT = "by itself it needs more memory than there is"
    SLOWED = "by itself it needs more memory than there is for its fastest kernel"


@dataclass(frozen=True)
class Cut:
    """A way to cut a schedule: its stages, the bytes that its neediest step needs, and the cycles of all."""

    stages: tuple[Group, ...]
    need_bytes: int
    cycles: int

    def merit(self, objective: Objective) -> float:
        """What `objective` asks to have little of, as far as it is known here."""
        if objective.optimize == "latency":
            return float(self.cycles)
        if objective.optimize == "ram" and objective.ram_exchange:
            return objective.ram_exchange * math.log(max(self.need_bytes, 1)) + math.log(max(self.cycles, 1))
        return float(self.need_bytes)


def cuts(table: Schedule, device: Device, limit: int, reason: Reason) -> tuple[Cut, ...]:
    """The fastest cuts within `limit` bytes and, one after another, within less than the one before needs.

    Layers are streamed for the `reason`.

    Limits fall in steps of a share, so that the least is reached whatever there is in between, and at the end byte by
    byte.
    """
    search = _Search(table, device, reason)
    found: list[Cut] = []
    share = _STEP_SHARE
    while len(found) < _MOST_CUTS:
        cut = search.fastest(limit)
        if cut is not None:
            found.append(cut)
        elif not share or not found:
            break
        else:
            share = 0.0
        limit = found[-1].need_bytes - 1 - int(share * found[-1].need_bytes)
    return tuple(cut for cut in found if cut.stages)


class _Search:
    def __init__(self, table: Schedule, device: Device, reason: Reason) -> None:
        self._table = table
        self._reason = reason
        self._forms = RowForms(device)
        self._estimates: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self._single = [
            sorted((option.candidate.cycles, option.need_bytes) for option in step) for step in table.options
        ]
        fed = table.fed
        self._is_fed = [any(t.name == fed for n in nodes for t in n.inputs) for nodes in table.steps]
        self._readers = _last_readers(table)
        self._apart = touches_state(table.graph)

    def fastest(self, limit: int) -> Cut | None:
        """The cut with the fewest cycles all of whose steps need at most `limit` bytes; None where there is none."""
        count = len(self._table.steps)
        urgent = [
            fed or self._needs(options) > limit
            for options, fed in zip(self._single, self._is_fed, strict=True)
        ]
        best: list[tuple[int, int, int] | None] = [None] * (
            count + 1
        )  # cycles, start of the last step, its need
        best[0] = (0, -1, 0)
        for end in range(1, count + 1):
            for start in range(end - 1, max(-1, end - 1 - _LONGEST), -1):
                before = best[start]
                if start < end - 1 and not self._may_stream(start, end):
                    break
                if before is None or (start < end - 1 and not any(urgent[start:end])):
                    continue
                step = self._step(start, end, limit)
                known = best[end]
                if step is not None and (known is None or before[0] + step[0] < known[0]):
                    best[end] = (before[0] + step[0], start, step[1])
        return self._cut(best)

    def _needs(self, options: Sequence[tuple[int, int]]) -> int:
        """Bytes within which there is no reason to stream the step of `options`, fastest first."""
        return options[0][1] if self._reason is Reason.SLOWED else min(need for _, need in options)

    def _cut(self, best: Sequence[tuple[int, int, int] | None]) -> Cut | None:
        stages, needs, end, total = [], [0], len(best) - 1, best[-1]
        if total is None:
            return None
        while end > 0:
            found = best[end]
            assert found is not None
            _, start, need = found
            needs.append(need)
            if start < end - 1 or self._is_fed[start]:
                stages.append(self._nodes(start, end))
            end = start
        return Cut(tuple(reversed(stages)), max(needs), total[0])

    def _nodes(self, start: int, end: int) -> Group:
        return tuple(node for nodes in self._table.steps[start:end] for node in nodes)

    def _may_stream(self, start: int, end: int) -> bool:
        """Whether the first of the steps can run by rows; the others were asked before."""
        if any(node in self._apart for node in self._nodes(start, end)):
            return False
        return bool(self._forms.of(self._table.steps[start])) and bool(
            self._forms.of(self._table.steps[end - 1])
        )

    def _step(self, start: int, end: int, limit: int) -> tuple[int, int] | None:
        """Cycles and need of the fastest way to run the steps as one within `limit`; None where there is none."""
        if end == start + 1:
            options: Sequence[tuple[int, int]] = self._single[start]
        elif self._floor(start, end) > limit:
            return None
        else:
            if (start, end) not in self._estimates:
                self._estimates[start, end] = self._estimated(start, end)
            options = self._estimates[start, end]
        return next(((cycles, need) for cycles, need in options if need <= limit), None)

    def _around(self, start: int, end: int) -> tuple[list[Storage], list[Storage]]:
        """Storages that are read by steps start to end - 1 or written by the last, and others in use meanwhile."""
        own: list[Storage] = []
        others: list[Storage] = []
        for storage in self._table.storages:
            if storage.first > end - 1 or storage.last < start:
                continue
            inner = start <= storage.first < end - 1 and storage.last < end and not storage.returned
            if inner and self._is_written_within(storage, start, end - 1):
                continue
            (own if storage.first == end - 1 or self._reads(storage, start, end) else others).append(storage)
        return own, others

    def _is_written_within(self, storage: Storage, start: int, end: int) -> bool:
        names = {t.name for nodes in self._table.steps[start:end] for node in nodes for t in node.outputs}
        return storage.name in names

    def _reads(self, storage: Storage, start: int, end: int) -> bool:
        return any(
            tensor.name in storage.tensors
            for nodes in self._table.steps[start:end]
            for node in nodes
            for tensor in node.inputs
        )

    def _floor(self, start: int, end: int) -> int:
        """Bytes below which the steps do not run as one: what is around them, and the rows of one window each."""
        own, others = self._around(start, end)
        rows = 0
        for nodes in self._table.steps[start + 1 : end]:
            form = self._forms.of(nodes)[0]
            tensors = {tensor.name: tensor for node in nodes for tensor in node.inputs}
            for name, window in form.windows.items():
                if self._is_inner(name, start, end):
                    rows += min(window.kernel, image_rows(tensors[name])) * row_bytes(tensors[name])
        return sum(s.size_bytes for s in others) + max(s.size_bytes for s in own) + rows

    def _is_inner(self, name: str, start: int, end: int) -> bool:
        return any(
            tensor.name == name
            for nodes in self._table.steps[start : end - 1]
            for node in nodes
            for tensor in node.outputs
        )

    def _estimated(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        nodes = self._nodes(start, end)
        if any(self._is_read_outside(index, start, end) for index in range(start, end - 1)):
            return ()
        fed = self._table.fed if any(self._is_fed[start:end]) else None
        if fed is not None and sum(self._is_fed[start:end]) < sum(self._is_fed):
            return ()
        own, others = self._around(start, end)
        passing = sum(storage.size_bytes for storage in others)
        found = [
            (one.cycles, passing + self._own_need(own, end, one))
            for one in stage_estimate(nodes, self._forms, fed)
        ]
        return tuple(sorted(found))

    def _is_read_outside(self, step: int, start: int, end: int) -> bool:
        """Whether a tensor that `step` leaves is read by no step up to `end`, or by others, or is returned."""
        returned = {tensor.name for tensor in self._table.graph.outputs}
        for tensor in self._table.steps[step][-1].outputs:
            readers = self._readers.get(tensor.name, set())
            holder = self._table.owner[tensor.name]
            shared = [name for name, owner in self._table.owner.items() if owner == holder]
            if not readers or tensor.name in returned or len(shared) > 1:
                return True
            if min(readers) < start or max(readers) >= end:
                return True
        return False

    def _own_need(self, own: Sequence[Storage], end: int, candidate: Candidate) -> int:
        target = next(s for s in own if s.first == end - 1 and s.name == self._output(end))
        return need_of(
            own, target, candidate, self._table.owner, lambda one: one.last < end and not one.returned
        )

    def _output(self, end: int) -> str:
        return self._table.owner[self._table.steps[end - 1][-1].output.name]


def _last_readers(table: Schedule) -> dict[str, set[int]]:
    """The steps that read each tensor."""
    found: dict[str, set[int]] = {}
    for index, nodes in enumerate(table.steps):
        for node in nodes:
            for tensor in node.inputs:
                found.setdefault(tensor.name, set()).add(index)
    return found
