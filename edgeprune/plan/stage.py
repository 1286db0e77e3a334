"""A stage: consecutive layers that run row by row as one step, each holding only the rows that are still to be read.

The stage reads its inputs and writes its output as whole tensors of the arena. All that is between them are rows in
slots of the stage's scratch, beside the scratch of its kernels.

Overlap. A turn writes at most the end of one row of the output. Every later read of an input begins at or after the
first row that this turn or a later one reads. So the input may start as far above the output as the largest difference
of the two, over all turns that write the output. Where the kernel keeps an input's place (`RowWindow.keeps_place`), its
own row is read before it is overwritten: at that turn only later rows count, as long as that row itself lies at or
above the output's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.device import Device
from edgeprune.graph.ir import Tensor
from edgeprune.kernels import _cost
from edgeprune.kernels.base import Candidate, RowForm
from edgeprune.plan.lifetimes import Group
from edgeprune.plan.row_schedule import Event, row_events
from edgeprune.plan.row_slots import Slot, place_slots, slots_floor
from edgeprune.plan.rows import RowForms, image_rows, row_bytes
from edgeprune.plan.stage_copies import Staging
from edgeprune.plan.stage_types import STAGE, Line, StageCandidate, StageLayer
from edgeprune.plan.units import units_of

__all__ = ["stage_candidates", "stage_estimate"]

_TURN_INSTRUCTIONS, _POINTER_INSTRUCTIONS, _READ_INSTRUCTIONS = 30, 12, 6
"""Of calling a layer for a row, of a pointer to a row of a window, and of one to the row itself."""
_LAYER_FLASH_BYTES, _CODE_BYTES = 60, 100
"""Of finding a layer's rows, and of the stage itself."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """What is the same for all choices of kernels: the units' turns and the rows in use."""

    forms: tuple[RowForm, ...]
    events: tuple[Event, ...]
    lines: Mapping[str, tuple[Slot, ...]]
    states: tuple[Slot | None, ...]
    fed: str | None

    @property
    def slots(self) -> Iterator[Slot]:
        for slots in self.lines.values():
            yield from slots
        yield from (state for state in self.states if state is not None)

    def scratch(self, forms: Sequence[RowForm]) -> list[int]:
        """Scratch of the kernel that runs at each turn."""
        sizes = [*(form.candidate.scratch_bytes for form in forms), 0]
        return [sizes[event.layer] for event in self.events]


def stage_candidates(nodes: Group, device: Device, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Ways to run `nodes` as a stage, from the fastest kernels to those with the least scratch; empty where none is.

    What all but the last node write must be read by others of `nodes` alone (`plan.streaming` asks, and so does
    `schedule` of its caller). The rows of the input `fed` are handed over by the caller.
    """
    offered = _offered(nodes, RowForms(device))
    if not offered:
        return ()
    frame = _frame(nodes, [forms[0] for forms in offered], fed)
    staging = Staging(device)
    found = [
        one for forms in _selections(offered) for one in staging.of(_candidate(nodes, frame, forms, device))
    ]
    return tuple(one for one in found if not any(_beats(other, one) for other in found))


def stage_estimate(nodes: Group, forms: RowForms, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Like `stage_candidates`, but with scratch as no placing of rows can undercut it, and no rows placed."""
    offered = _offered(nodes, forms)
    if not offered:
        return ()
    frame = _frame(nodes, [some[0] for some in offered], fed)
    slots, staging = list(frame.slots), Staging(forms.device)
    return tuple(
        one
        for chosen in _selections(offered)
        for one in staging.of(
            replace(
                _bare(nodes, frame, chosen, forms.device),
                scratch_bytes=slots_floor(slots, frame.scratch(chosen)),
            )
        )
    )


def _beats(one: Candidate, other: Candidate) -> bool:
    return one.cycles <= other.cycles and one.scratch_bytes < other.scratch_bytes


def _offered(nodes: Group, forms: RowForms) -> list[tuple[RowForm, ...]]:
    """Per unit of the stage its forms, fastest first; empty without a way to run."""
    units = units_of(nodes, lambda group: bool(forms.of(group)))
    offered = [forms.of(unit) for unit in units]
    if not offered or not all(offered) or not _sums_come_last(offered):
        return []
    return offered


def _sums_come_last(offered: Sequence[Sequence[RowForm]]) -> bool:
    """Whether none but the last unit sums over rows: no row of what it writes is there before all it reads is.

    All forms of a unit keep sums, or none does.
    """
    assert all(len({bool(form.state_bytes) for form in forms}) == 1 for forms in offered)
    return not any(forms[0].state_bytes for forms in offered[:-1])


def _selections(offered: Sequence[Sequence[RowForm]]) -> list[tuple[RowForm, ...]]:
    """The fastest forms within each limit of scratch that makes a difference."""
    limits = sorted({form.candidate.scratch_bytes for forms in offered for form in forms}, reverse=True)
    found: dict[tuple[str, ...], tuple[RowForm, ...]] = {}
    for limit in limits:
        within = [
            [f for f in forms if f.candidate.scratch_bytes <= limit] or [forms[-1]] for forms in offered
        ]
        chosen = tuple(forms[0] for forms in within)
        found.setdefault(tuple(form.candidate.name for form in chosen), chosen)
    return list(found.values())


def _tensors(forms: Sequence[RowForm], fed: str | None) -> dict[str, Tensor]:
    """The tensors that rows are written of, by name."""
    found = {form.nodes[-1].output.name: form.nodes[-1].output for form in forms}
    inputs = (tensor for form in forms for node in form.nodes for tensor in node.inputs)
    return found | {tensor.name: tensor for tensor in inputs if tensor.name == fed}


def _frame(nodes: Group, forms: Sequence[RowForm], fed: str | None) -> _Frame:
    events, output = row_events(forms, fed), nodes[-1].output.name
    tensors = _tensors(forms, fed)
    births = {name: [0] * image_rows(tensor) for name, tensor in tensors.items()}
    deaths: dict[str, list[int]] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for turn, event in enumerate(events):
        first.setdefault(event.layer, turn)
        last[event.layer] = turn
        if event.layer == len(forms):
            assert fed is not None
            births[fed][event.row] = turn
        elif event.writes:
            name = forms[event.layer].nodes[-1].output.name
            births[name][event.row if not forms[event.layer].state_bytes else 0] = turn
    for name, rows in births.items():
        deaths[name] = list(rows)
    for turn, event in enumerate(events):
        for name, low, high in event.reads:
            if name in deaths:
                deaths[name][low : high + 1] = [turn] * (high + 1 - low)
    lines = {
        name: tuple(map(Slot, [row_bytes(tensor)] * len(births[name]), births[name], deaths[name]))
        for name, tensor in tensors.items()
        if name != output
    }
    states = tuple(
        Slot(form.state_bytes, first[index], last[index]) if form.state_bytes else None
        for index, form in enumerate(forms)
    )
    return _Frame(tuple(forms), events, lines, states, fed)


def _candidate(nodes: Group, frame: _Frame, forms: Sequence[RowForm], device: Device) -> StageCandidate:
    offsets, height = place_slots(list(frame.slots), frame.scratch(forms))
    places = iter(offsets)
    tensors = _tensors(forms, frame.fed)
    lines = {
        name: Line(
            tensors[name], row_bytes(tensors[name]), tuple(next(places) for _ in slots), _most_held(slots)
        )
        for name, slots in frame.lines.items()
    }
    states = [None if state is None else next(places) for state in frame.states]
    bare = _bare(nodes, frame, forms, device)
    layers = tuple(
        replace(layer, state_offset=state) for layer, state in zip(bare.layers, states, strict=True)
    )
    return replace(bare, scratch_bytes=height, layers=layers, lines=lines)


def _bare(nodes: Group, frame: _Frame, forms: Sequence[RowForm], device: Device) -> StageCandidate:
    """A candidate whose rows have no places yet."""
    order = tuple(event.layer for event in frame.events)
    scratch = max(form.candidate.scratch_bytes for form in forms)
    instructions = sum(_turn_instructions(forms[layer]) for layer in order if layer < len(forms))
    tables = sum(2 * len(slots) for slots in frame.lines.values()) + len(order)
    candidate = StageCandidate(
        STAGE,
        f"stage{len(forms)}_scratch{scratch}",
        nodes,
        flash_bytes=sum(form.candidate.flash_bytes + _LAYER_FLASH_BYTES for form in forms)
        + tables
        + _CODE_BYTES,
        cycles=sum(form.candidate.cycles for form in forms)
        + round(_cost.cycles(device, {_cost.Kind.SCALAR: instructions})),
        layers=tuple(StageLayer(form, order.count(index)) for index, form in enumerate(forms)),
        order=order,
        fed=frame.fed,
    )
    tensors = {tensor.name: tensor for node in nodes for tensor in node.inputs}
    overlap = tuple(
        _least_distance(frame, forms, tensors[name], nodes[-1].output) for name in candidate.activation_inputs
    )
    return replace(candidate, overlap=overlap)


def _turn_instructions(form: RowForm) -> int:
    pointers = sum(window.kernel for window in form.windows.values() if window.kernel > 1)
    plain = sum(1 for window in form.windows.values() if window.kernel == 1)
    return _TURN_INSTRUCTIONS + _POINTER_INSTRUCTIONS * pointers + _READ_INSTRUCTIONS * plain


def _least_distance(frame: _Frame, forms: Sequence[RowForm], x: Tensor, y: Tensor) -> int:
    """The least address(x) - address(y), not below 0, at which no unread row of `x` is overwritten."""
    unread, distance = image_rows(x) * row_bytes(x), 0
    for event in reversed(frame.events):
        reads = next(((low, high) for name, low, high in event.reads if name == x.name), None)
        if event.layer == len(forms):
            continue
        writes = event.writes and forms[event.layer].nodes[-1].output.name == y.name
        keeps = reads is not None and forms[event.layer].windows[x.name].keeps_place
        if reads is not None and not (writes and keeps):
            unread = min(unread, reads[0] * row_bytes(x))
        if writes:
            row = 0 if forms[event.layer].state_bytes else event.row
            distance = max(distance, (row + 1) * row_bytes(y) - unread)
            if keeps:
                assert reads is not None
                distance = max(distance, row * row_bytes(y) - reads[0] * row_bytes(x))
        if reads is not None:
            unread = min(unread, reads[0] * row_bytes(x))
    return distance


def _most_held(slots: Sequence[Slot]) -> int:
    return max(sum(one.birth <= slot.birth <= one.death for one in slots) for slot in slots)
