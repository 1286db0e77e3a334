"""A stage: consecutive layers that run row by row as one step, each holding only the rows that are still to be read.

The stage reads its inputs and writes its output as whole tensors of the arena. All that is between them are rows in
slots of the stage's scratch, beside the scratch of its kernels.

How near its inputs may lie to its output is proved in `plan.stage_frame`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from edgeprune.device import Device
from edgeprune.kernels import _cost
from edgeprune.kernels.base import RowForm
from edgeprune.plan.lifetimes import Group
from edgeprune.plan.overlap import span_bytes
from edgeprune.plan.row_slots import Placed, place_slots, slots_floor
from edgeprune.plan.rows import RowForms, row_bytes
from edgeprune.plan.stage_copies import with_copies
from edgeprune.plan.stage_frame import Frame, frame_of, most_held, written_tensors
from edgeprune.plan.stage_types import STAGE, Line, StageCandidate, StageLayer
from edgeprune.plan.units import units_of

__all__ = ["stage_candidates", "stage_estimate"]

_TURN_INSTRUCTIONS, _POINTER_INSTRUCTIONS, _READ_INSTRUCTIONS = 30, 12, 6
"""Of calling a layer for a row, of a pointer to a row of a window, and of one to the row itself."""
_STEP = 0.75
"""From a limit of a turn's rows to the next that is tried, at most."""
_LAYER_FLASH_BYTES, _CODE_BYTES = 60, 100
"""Of finding a layer's rows, and of the stage itself."""


def stage_candidates(nodes: Group, device: Device, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Ways to run `nodes` as a stage, from the fastest kernels to those with the least scratch; empty where none is.

    What all but the last node write must be read by others of `nodes` alone (`plan.streaming` asks, and so does
    `schedule` of its caller). The rows of the input `fed` are handed over by the caller.
    """
    offered = _offered(nodes, RowForms(device))
    if not offered:
        return ()
    ways = _ways(nodes, offered, device, fed)
    promises = sorted(
        (one.cycles, *_room(one), number, one.name)
        for number, way in enumerate(ways)
        for one in with_copies(way.bare, device)
    )
    placed: dict[int, dict[str, StageCandidate]] = {}
    found: dict[tuple[int, ...], StageCandidate] = {}
    for _, *floors, number, name in promises:
        if _saves(floors, found):
            if number not in placed:
                placed[number] = {one.name: one for one in with_copies(_placed(ways[number]), device)}
            one = placed[number][name]
            if _saves(_room(one), found):
                found[_room(one)] = one
    return tuple(found.values())


def _room(stage: StageCandidate) -> tuple[int, int]:
    """Bytes of its scratch, and of what its scratch and its inputs take together where these are not read again."""
    tensors = {tensor.name: tensor for node in stage.nodes for tensor in node.inputs}
    inputs = [tensors[name].bytes for name in stage.activation_inputs]
    sharing = zip(inputs, stage.scratch_overlap, strict=True)
    return stage.scratch_bytes, span_bytes(
        stage.scratch_bytes, [(size, stage.scratch_bytes if d is None else d) for size, d in sharing]
    )


def _saves(room: Sequence[int], found: Iterable[Sequence[int]]) -> bool:
    """Whether no stage found before needs as little room, of scratch alone and with inputs."""
    return not any(all(a <= b for a, b in zip(other, room, strict=True)) for other in found)


def stage_estimate(nodes: Group, forms: RowForms, fed: str | None = None) -> tuple[StageCandidate, ...]:
    """Like `stage_candidates`, but with scratch as no placing of rows can undercut it, and no rows placed."""
    offered = _offered(nodes, forms)
    ways = _ways(nodes, offered, forms.device, fed) if offered else []
    return tuple(one for way in ways for one in with_copies(way.bare, forms.device))


@dataclass(frozen=True, eq=False)
class _Way:
    """Forms of the units of a stage, and the candidate they make, whose rows have no places yet."""

    forms: tuple[RowForm, ...]
    frame: Frame
    bare: StageCandidate


def _ways(nodes: Group, offered: Sequence[Sequence[RowForm]], device: Device, fed: str | None) -> list[_Way]:
    frames, found = _Frames(fed), []
    for forms in _selections(offered):
        for even in _evens(forms):
            frame = frames.of(forms, even)
            least = slots_floor(frame.slots, frame.scratch(forms), frame.above)
            bare = _bare(nodes, frame, forms, device, f"_even{len(even)}" if even else "")
            found.append(_Way(forms, frame, _with_room(bare, frame, least)))
    return found


def _evens(forms: Sequence[RowForm]) -> list[tuple[int, ...]]:
    """Layers that are to waste no rows: none, the last that could, the last two, and so on to all.

    Rows are held for that, and those of the last layers tend to be the smallest.
    """
    able = [index for index, form in enumerate(forms) if form.together > 1]
    return [tuple(able[first:]) for first in range(len(able), -1, -1)]


class _Frames:
    """Frames of a stage: of its layers' kernels they depend on the rows of a turn, places kept, and bytes of sums."""

    def __init__(self, fed: str | None) -> None:
        self._fed = fed
        self._known: dict[tuple[object, ...], Frame] = {}

    def of(self, forms: Sequence[RowForm], even: Collection[int] = ()) -> Frame:
        """The frame of `forms`, the same layers each time, of which those numbered `even` waste no rows."""
        kinds = (
            (form.rows, form.together if i in even else 1, form.state_bytes) for i, form in enumerate(forms)
        )
        places = (window.keeps_place for form in forms for window in form.windows.values())
        key = (*kinds, *places)
        if key not in self._known:
            self._known[key] = frame_of(forms, self._fed, even)
        return self._known[key]


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
    """The fastest forms within each limit of the rows of a turn, and of scratch, that makes a difference.

    Scratch is one after the other's, but rows of several layers are held at a time: so the limits are apart.
    """
    found: dict[tuple[str, ...], tuple[RowForm, ...]] = {}
    for most in _apart(sorted({_turn_bytes(form) for forms in offered for form in forms}, reverse=True)):
        within = [_least(forms, _turn_bytes, most) for forms in offered]
        for scratch in sorted({_scratch(form) for forms in within for form in forms}, reverse=True):
            chosen = tuple(_least(forms, _scratch, scratch)[0] for forms in within)
            found.setdefault(tuple(form.candidate.name for form in chosen), chosen)
    return list(found.values())


def _apart(limits: Sequence[int]) -> list[int]:
    """Those of falling `limits` that are well below the one before: each takes a frame of its own."""
    kept = [limits[0]]
    for limit in limits[1:]:
        if limit <= _STEP * kept[-1] or limit == limits[-1]:
            kept.append(limit)
    return kept


def _least(forms: Sequence[RowForm], size: Callable[[RowForm], int], limit: int) -> list[RowForm]:
    """Those of `forms` whose size is within `limit`; where none is, those of the least."""
    limit = max(limit, min(map(size, forms)))
    return [form for form in forms if size(form) <= limit]


def _turn_bytes(form: RowForm) -> int:
    """Of the rows that a turn computes."""
    return form.rows * row_bytes(form.nodes[-1].output)


def _scratch(form: RowForm) -> int:
    return form.candidate.scratch_bytes


def _placed(way: _Way) -> StageCandidate:
    """The candidate with places for all rows."""
    frame, bare = way.frame, way.bare
    placed = place_slots(frame.slots, frame.scratch(way.forms), frame.above)
    offsets = placed.offsets
    tensors = written_tensors(way.forms, frame.fed)
    lines = {}
    for name, strips in frame.lines.items():
        size = row_bytes(tensors[name])
        rows = tuple(offsets[strip.slot] + i * size for strip in strips for i in range(strip.rows))
        lines[name] = Line(tensors[name], size, rows, most_held(frame, name))
    layers = tuple(
        replace(layer, state_offset=None if state is None else offsets[state])
        for layer, state in zip(bare.layers, frame.states, strict=True)
    )
    return _with_room(replace(bare, layers=layers, lines=lines), frame, placed)


def _with_room(stage: StageCandidate, frame: Frame, placed: Placed) -> StageCandidate:
    """`stage` with as much scratch as its rows take where they were placed, and its inputs above it."""
    distances = dict(zip(frame.overlap, placed.distances, strict=True))
    least = tuple(distances[name] for name in stage.activation_inputs)
    return replace(stage, scratch_bytes=placed.height, scratch_overlap=least)


def _bare(
    nodes: Group, frame: Frame, forms: Sequence[RowForm], device: Device, ending: str
) -> StageCandidate:
    """A candidate whose rows have no places yet."""
    scratch = max(form.candidate.scratch_bytes for form in forms)
    instructions = sum(frame.turns[index] * _turn_instructions(form) for index, form in enumerate(forms))
    tables = sum(2 * strip.rows for strips in frame.lines.values() for strip in strips) + len(frame.order)
    candidate = StageCandidate(
        STAGE,
        f"stage{len(forms)}_scratch{scratch}_rows{max(form.rows for form in forms)}{ending}",
        nodes,
        flash_bytes=sum(form.candidate.flash_bytes + _LAYER_FLASH_BYTES for form in forms)
        + tables
        + _CODE_BYTES,
        cycles=frame.cycles(forms) + round(_cost.cycles(device, {_cost.Kind.SCALAR: instructions})),
        layers=tuple(
            StageLayer(form, frame.turns[index], first_rows=frame.first_rows[index])
            for index, form in enumerate(forms)
        ),
        order=frame.order,
        fed=frame.fed,
    )
    return replace(candidate, overlap=tuple(frame.overlap[name] for name in candidate.activation_inputs))


def _turn_instructions(form: RowForm) -> int:
    windows, several = form.windows.values(), form.rows > 1
    pointers = sum(window.span(form.rows) for window in windows if window.kernel > 1 or several)
    plain = sum(1 for window in windows if window.kernel == 1 and not several)
    return _TURN_INSTRUCTIONS + _POINTER_INSTRUCTIONS * pointers + _READ_INSTRUCTIONS * plain
