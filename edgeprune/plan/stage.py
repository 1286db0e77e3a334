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

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Tensor
from edgeprune.kernels import _cost
from edgeprune.kernels.base import Candidate, RowForm
from edgeprune.plan.lifetimes import Group
from edgeprune.plan.row_slots import place_slots, slots_floor
from edgeprune.plan.rows import RowForms, image_rows, row_bytes
from edgeprune.plan.stage_copies import Staging
from edgeprune.plan.stage_frame import Frame, frame_of, most_held, written_tensors
from edgeprune.plan.stage_types import STAGE, Line, StageCandidate, StageLayer
from edgeprune.plan.units import units_of

__all__ = ["stage_candidates", "stage_estimate"]

_TURN_INSTRUCTIONS, _POINTER_INSTRUCTIONS, _READ_INSTRUCTIONS = 30, 12, 6
"""Of calling a layer for a row, of a pointer to a row of a window, and of one to the row itself."""
_LAYER_FLASH_BYTES, _CODE_BYTES = 60, 100
"""Of finding a layer's rows, and of the stage itself."""


def stage_candidates(nodes: Group, device: Device, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Ways to run `nodes` as a stage, from the fastest kernels to those with the least scratch; empty where none is.

    The rows of the input `fed` are handed over by the caller.
    """
    offered = _offered(nodes, RowForms(device))
    if not offered:
        return ()
    frames, staging = _Frames(fed), Staging(device)
    found = [
        one
        for forms in _selections(offered)
        for one in staging.of(_candidate(nodes, frames.of(forms), forms, device))
    ]
    return tuple(one for one in found if not any(_beats(other, one) for other in found))


def stage_estimate(nodes: Group, forms: RowForms, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Like `stage_candidates`, but with scratch as no placing of rows can undercut it, and no rows placed."""
    offered = _offered(nodes, forms)
    if not offered:
        return ()
    frames, staging, found = _Frames(fed), Staging(forms.device), []
    for chosen in _selections(offered):
        frame = frames.of(chosen)
        least = slots_floor(frame.slots, frame.scratch(chosen))
        found += staging.of(replace(_bare(nodes, frame, chosen, forms.device), scratch_bytes=least))
    return tuple(found)


class _Frames:
    """Frames of a stage, which depend on how many rows its layers compute in a turn, but not on their kernels."""

    def __init__(self, fed: str | None) -> None:
        self._fed = fed
        self._known: dict[tuple[object, ...], Frame] = {}

    def of(self, forms: Sequence[RowForm]) -> Frame:
        """The frame of `forms`, the same layers each time."""
        key = tuple((form.rows, *(w.keeps_place for w in form.windows.values())) for form in forms)
        if key not in self._known:
            self._known[key] = frame_of(forms, self._fed)
        return self._known[key]


def _beats(one: Candidate, other: Candidate) -> bool:
    return one.cycles <= other.cycles and one.scratch_bytes < other.scratch_bytes


def _offered(nodes: Group, forms: RowForms) -> list[tuple[RowForm, ...]]:
    """Per unit of the stage its forms, fastest first; empty without a way to run."""
    units = units_of(nodes, lambda group: bool(forms.of(group)))
    offered = [forms.of(unit) for unit in units]
    if not offered or not all(offered) or not _is_chain(nodes, offered):
        return []
    return offered


def _is_chain(nodes: Group, offered: Sequence[Sequence[RowForm]]) -> bool:
    """Whether all but the last output are read within the stage alone, as images, and sums come last."""
    sums = [bool(forms[0].state_bytes) for forms in offered]
    return not any(sums[:-1])


def _selections(offered: Sequence[Sequence[RowForm]]) -> list[tuple[RowForm, ...]]:
    """The fastest forms within each limit of the rows of a turn, and of scratch, that makes a difference.

    Scratch is one after the other's, but rows of several layers are held at a time: so the limits are apart.
    """
    found: dict[tuple[str, ...], tuple[RowForm, ...]] = {}
    for most in sorted({_turn_bytes(form) for forms in offered for form in forms}, reverse=True):
        within = [_least(forms, _turn_bytes, most) for forms in offered]
        for scratch in sorted({_scratch(form) for forms in within for form in forms}, reverse=True):
            chosen = tuple(_least(forms, _scratch, scratch)[0] for forms in within)
            found.setdefault(tuple(form.candidate.name for form in chosen), chosen)
    return list(found.values())


def _least(forms: Sequence[RowForm], size: Callable[[RowForm], int], limit: int) -> list[RowForm]:
    """Those of `forms` whose size is within `limit`; where none is, those of the least."""
    limit = max(limit, min(map(size, forms)))
    return [form for form in forms if size(form) <= limit]


def _turn_bytes(form: RowForm) -> int:
    """Of the rows that a turn computes."""
    return form.rows * row_bytes(form.nodes[-1].output)


def _scratch(form: RowForm) -> int:
    return form.candidate.scratch_bytes


def _candidate(nodes: Group, frame: Frame, forms: Sequence[RowForm], device: Device) -> StageCandidate:
    offsets, height = place_slots(frame.slots, frame.scratch(forms))
    tensors = written_tensors(forms, frame.fed)
    lines = {}
    for name, strips in frame.lines.items():
        size = row_bytes(tensors[name])
        rows = tuple(offsets[strip.slot] + i * size for strip in strips for i in range(strip.rows))
        lines[name] = Line(tensors[name], size, rows, most_held(frame, name))
    bare = _bare(nodes, frame, forms, device)
    layers = tuple(
        replace(layer, state_offset=None if state is None else offsets[state])
        for layer, state in zip(bare.layers, frame.states, strict=True)
    )
    return replace(bare, scratch_bytes=height, layers=layers, lines=lines)


def _bare(nodes: Group, frame: Frame, forms: Sequence[RowForm], device: Device) -> StageCandidate:
    """A candidate whose rows have no places yet."""
    order = tuple(event.layer for event in frame.events)
    first_rows = {event.layer: event.rows for event in reversed(frame.events)}
    scratch = max(form.candidate.scratch_bytes for form in forms)
    instructions = sum(_turn_instructions(forms[layer]) for layer in order if layer < len(forms))
    tables = sum(2 * sum(strip.rows for strip in strips) for strips in frame.lines.values()) + len(order)
    candidate = StageCandidate(
        STAGE,
        f"stage{len(forms)}_scratch{scratch}_rows{max(form.rows for form in forms)}",
        nodes,
        flash_bytes=sum(form.candidate.flash_bytes + _LAYER_FLASH_BYTES for form in forms)
        + tables
        + _CODE_BYTES,
        cycles=sum(form.candidate.cycles for form in forms)
        + round(_cost.cycles(device, {_cost.Kind.SCALAR: instructions})),
        layers=tuple(
            StageLayer(form, order.count(index), first_rows=first_rows[index])
            for index, form in enumerate(forms)
        ),
        order=order,
        fed=frame.fed,
    )
    tensors = {tensor.name: tensor for node in nodes for tensor in node.inputs}
    overlap = tuple(
        _least_distance(frame, forms, tensors[name], nodes[-1].output) for name in candidate.activation_inputs
    )
    return replace(candidate, overlap=overlap)


def _turn_instructions(form: RowForm) -> int:
    windows, several = form.windows.values(), form.rows > 1
    pointers = sum(window.span(form.rows) for window in windows if window.kernel > 1 or several)
    plain = sum(1 for window in windows if window.kernel == 1 and not several)
    return _TURN_INSTRUCTIONS + _POINTER_INSTRUCTIONS * pointers + _READ_INSTRUCTIONS * plain


def _least_distance(frame: Frame, forms: Sequence[RowForm], x: Tensor, y: Tensor) -> int:
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
            distance = max(distance, (row + event.rows) * row_bytes(y) - unread)
            if keeps:
                assert reads is not None
                distance = max(distance, row * row_bytes(y) - reads[0] * row_bytes(x))
        if reads is not None:
            unread = min(unread, reads[0] * row_bytes(x))
    return distance
