"""When the rows of a stage are in use: the turns of its layers, and the slots of rows between them.

The rows that one turn computes lie one after another in one slot, from that turn to the last that reads one of them.
Where a layer keeps the place of its input's rows (`RowWindow.keeps_place`), rows of the same size that nobody reads
later, and that lie in a slot by themselves, are overwritten by those computed from them: both have one slot.

Overlap. A turn writes at most the end of its last row of the output. Every later read of an input begins at or after
the first row that this turn or a later one reads. So the input may start as far above the output as the largest
difference of the two, over all turns that write the output. Where the kernel keeps an input's place, its own rows are
read before they are overwritten: at that turn only later rows count, as long as those rows themselves lie at or above
the output's.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.graph.ir import Tensor
from edgeprune.kernels.base import RowForm
from edgeprune.plan.row_schedule import Event, row_events
from edgeprune.plan.row_slots import Above, Slot
from edgeprune.plan.rows import image_rows, row_bytes

__all__ = ["Frame", "Strip", "frame_of", "most_held", "written_tensors"]


@dataclass(frozen=True)
class Strip:
    """Rows of a tensor that are computed in one turn: `rows` from `row` on, in slot number `slot`."""

    row: int
    rows: int
    slot: int


@dataclass(frozen=True, eq=False)
class Frame:
    """The turns of `forms`, and the slots of the rows and sums that they hold; no matter what scratch kernels take."""

    forms: tuple[RowForm, ...]
    events: tuple[Event, ...]
    slots: tuple[Slot, ...]
    lines: Mapping[str, tuple[Strip, ...]]
    """Of each tensor that is not in the arena as a whole."""
    states: tuple[int | None, ...]
    """For each layer the slot of its sums."""
    fed: str | None

    @functools.cached_property
    def order(self) -> tuple[int, ...]:
        """The layer of each turn."""
        return tuple(event.layer for event in self.events)

    @functools.cached_property
    def first_rows(self) -> Mapping[int, int]:
        """The rows of each layer's first turn."""
        return {event.layer: event.rows for event in reversed(self.events)}

    def cycles(self, forms: Sequence[RowForm]) -> int:
        """Of the kernels, that of rows computed together for fewer included."""
        rows, taken = Counter[int](), Counter[int]()
        for event in self.events:
            if event.layer < len(forms):
                rows[event.layer] += event.rows
                taken[event.layer] += (
                    -(-event.rows // forms[event.layer].together) * forms[event.layer].together
                )
        heights = (-(-rows[i] // form.together) * form.together for i, form in enumerate(forms))
        return sum(
            round(form.candidate.cycles * taken[index] / height)
            for index, (form, height) in enumerate(zip(forms, heights, strict=True))
        )

    @functools.cached_property
    def turns(self) -> Mapping[int, int]:
        """How often each layer runs."""
        return Counter(self.order)

    @functools.cached_property
    def overlap(self) -> Mapping[str, int]:
        """Of each input in the arena the least distance to the output: see `_least_distance`."""
        return {tensor.name: _least_distance(self, tensor) for tensor in self._inputs}

    @functools.cached_property
    def above(self) -> tuple[Above, ...]:
        """Of each input in the arena, what is still to be read at each turn; in the order of `overlap`."""
        return tuple(_above(self, tensor) for tensor in self._inputs)

    @functools.cached_property
    def _inputs(self) -> tuple[Tensor, ...]:
        """Those in the arena."""
        produced = {form.nodes[-1].output.name for form in self.forms}
        tensors = {
            tensor.name: tensor for form in self.forms for node in form.nodes for tensor in node.inputs
        }
        names = {name for form in self.forms for name in form.windows} - produced - {self.fed}
        return tuple(tensors[name] for name in sorted(names))

    def scratch(self, forms: Sequence[RowForm]) -> list[int]:
        """Scratch of the kernel that runs at each turn."""
        sizes = [*(form.candidate.scratch_bytes for form in forms), 0]
        return [sizes[event.layer] for event in self.events]


def written_tensors(forms: Sequence[RowForm], fed: str | None) -> dict[str, Tensor]:
    """The tensors that rows are written of, by name."""
    found = {form.nodes[-1].output.name: form.nodes[-1].output for form in forms}
    inputs = (tensor for form in forms for node in form.nodes for tensor in node.inputs)
    return found | {tensor.name: tensor for tensor in inputs if tensor.name == fed}


def most_held(frame: Frame, name: str) -> int:
    """Rows of the tensor in use at one time, at most."""
    strips = frame.lines[name]
    slots = [frame.slots[strip.slot] for strip in strips]
    return max(
        sum(s.rows for s, slot in zip(strips, slots, strict=True) if slot.birth <= one.birth <= slot.death)
        for one in slots
    )


def frame_of(forms: Sequence[RowForm], fed: str | None, even: Collection[int] = ()) -> Frame:
    """The turns and slots of a stage of `forms`, whose last output is in the arena, as its inputs are but `fed`.

    The turns of layers `even` waste no rows.
    """
    events, output = row_events(forms, fed, even), forms[-1].nodes[-1].output.name
    tensors = written_tensors(forms, fed)
    sizes = {name: row_bytes(tensor) for name, tensor in tensors.items()}
    written = [*((form.nodes[-1].output.name, bool(form.state_bytes)) for form in forms), (fed or "", False)]
    births: list[int] = []
    deaths: list[int] = []
    bytes_of: list[int] = []
    lines: dict[str, list[Strip]] = {name: [] for name in tensors if name != output}
    slot_of: dict[str, list[int]] = {name: [] for name in lines}
    """The slot of each row."""
    for turn, event in enumerate(events):
        for name, low, high in event.reads:
            for slot in slot_of.get(name, ())[low : high + 1]:
                deaths[slot] = turn
        name, sums = written[event.layer]
        if event.writes and name in lines:
            lines[name].append(Strip(0 if sums else event.row, event.rows, len(births)))
            slot_of[name] += [len(births)] * event.rows
            births.append(turn)
            deaths.append(turn)
            bytes_of.append(event.rows * sizes[name])
    slots = list(map(Slot, bytes_of, births, deaths))
    states: list[int | None] = []
    for index, form in enumerate(forms):
        states.append(len(slots) if form.state_bytes else None)
        if form.state_bytes:
            turns = [turn for turn, event in enumerate(events) if event.layer == index]
            slots.append(Slot(form.state_bytes, turns[0], turns[-1]))
    strips = {name: tuple(found) for name, found in lines.items()}
    return _in_place(Frame(tuple(forms), events, tuple(slots), strips, tuple(states), fed))


def _in_place(frame: Frame) -> Frame:
    """`frame` with one slot for rows and those that overwrite them."""
    if not any(window.keeps_place for form in frame.forms for window in form.windows.values()):
        return frame
    deaths, moved = [slot.death for slot in frame.slots], list(range(len(frame.slots)))
    by_row = {(name, strip.row): strip for name, strips in frame.lines.items() for strip in strips}
    for turn, event in enumerate(frame.events):
        form = frame.forms[event.layer] if event.layer < len(frame.forms) else None
        strip = None if form is None else by_row.get((form.nodes[-1].output.name, event.row))
        if form is None or strip is None or form.state_bytes:
            continue
        for name, low, high in event.reads:
            read = by_row.get((name, low))
            same = read is not None and read.rows == event.rows == high - low + 1
            if read is None or not same or not form.windows[name].keeps_place:
                continue
            old, size = moved[read.slot], frame.slots[strip.slot].size_bytes
            if (deaths[old], frame.slots[old].size_bytes) == (turn, size):
                deaths[old] = deaths[strip.slot]
                moved[strip.slot] = old
                break
    kept = [index for index, slot in enumerate(moved) if slot == index]
    places = {old: new for new, old in enumerate(kept)}
    return replace(
        frame,
        slots=tuple(replace(frame.slots[index], death=deaths[index]) for index in kept),
        lines={
            name: tuple(Strip(strip.row, strip.rows, places[moved[strip.slot]]) for strip in strips)
            for name, strips in frame.lines.items()
        },
        states=tuple(None if state is None else places[state] for state in frame.states),
    )


def _above(frame: Frame, x: Tensor) -> Above:
    unread, found = image_rows(x) * row_bytes(x), list[int]()
    for event in reversed(frame.events):
        for name, low, _ in event.reads:
            unread = min(unread, low * row_bytes(x)) if name == x.name else unread
        found.append(unread)
    return Above(image_rows(x) * row_bytes(x), tuple(reversed(found)))


def _least_distance(frame: Frame, x: Tensor) -> int:
    """The least address(x) - address(y), not below 0, at which no unread row of `x` is overwritten."""
    forms, y = frame.forms, frame.forms[-1].nodes[-1].output
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
