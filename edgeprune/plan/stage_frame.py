"""When the rows of a stage are in use: the turns of its layers, and the slots of rows between them.

The rows that one turn computes lie one after another in one slot, from that turn to the last that reads one of them.
Where a layer keeps the place of its input's rows (`RowWindow.keeps_place`), rows of the same size that nobody reads
later, and that lie in a slot by themselves, are overwritten by those computed from them: both have one slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.graph.ir import Tensor
from edgeprune.kernels.base import RowForm
from edgeprune.plan.row_schedule import Event, row_events
from edgeprune.plan.row_slots import Slot
from edgeprune.plan.rows import row_bytes

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


def frame_of(forms: Sequence[RowForm], fed: str | None) -> Frame:
    """The turns and slots of a stage of `forms`, whose last output is in the arena, as its inputs are but `fed`."""
    events, output = row_events(forms, fed), forms[-1].nodes[-1].output.name
    tensors = written_tensors(forms, fed)
    slots: list[Slot] = []
    lines: dict[str, list[Strip]] = {name: [] for name in tensors if name != output}
    holder: dict[tuple[str, int], int] = {}
    """The place among the strips of its line, of each row."""
    for turn, event in enumerate(events):
        for name, low, high in event.reads:
            if name in lines:
                for row in range(low, high + 1):
                    slot = lines[name][holder[name, row]].slot
                    slots[slot] = replace(slots[slot], death=turn)
        name = fed if event.layer == len(forms) else forms[event.layer].nodes[-1].output.name
        if event.writes and name in lines:
            assert name is not None
            row = 0 if event.layer < len(forms) and forms[event.layer].state_bytes else event.row
            holder |= {(name, row + i): len(lines[name]) for i in range(event.rows)}
            lines[name].append(Strip(row, event.rows, len(slots)))
            slots.append(Slot(event.rows * row_bytes(tensors[name]), turn, turn))
    states: list[int | None] = []
    for index, form in enumerate(forms):
        turns = [turn for turn, event in enumerate(events) if event.layer == index]
        states.append(len(slots) if form.state_bytes else None)
        if form.state_bytes:
            slots.append(Slot(form.state_bytes, turns[0], turns[-1]))
    bare = Frame(
        tuple(forms), events, tuple(slots), {n: tuple(s) for n, s in lines.items()}, tuple(states), fed
    )
    return _in_place(bare, tensors)


def _in_place(frame: Frame, tensors: Mapping[str, Tensor]) -> Frame:
    """`frame` with one slot for rows and those that overwrite them."""
    slots: list[Slot | None] = list(frame.slots)
    moved = list(range(len(slots)))
    by_row = {(name, strip.row): strip for name, strips in frame.lines.items() for strip in strips}
    for turn, event in enumerate(frame.events):
        form = frame.forms[event.layer] if event.layer < len(frame.forms) else None
        strip = None if form is None else by_row.get((form.nodes[-1].output.name, event.row))
        if form is None or strip is None or form.state_bytes:
            continue
        for name, low, high in event.reads:
            read = by_row.get((name, low))
            if (
                read is None
                or not form.windows[name].keeps_place
                or (read.rows, high) != (event.rows, low + event.rows - 1)
            ):
                continue
            old, new = slots[moved[read.slot]], slots[strip.slot]
            if old is not None and new is not None and (old.death, old.size_bytes) == (turn, new.size_bytes):
                slots[moved[read.slot]] = replace(old, death=new.death)
                slots[strip.slot] = None
                moved[strip.slot] = moved[read.slot]
                break
    places = {old: new for new, old in enumerate(i for i, slot in enumerate(slots) if slot is not None)}
    return replace(
        frame,
        slots=tuple(slot for slot in slots if slot is not None),
        lines={
            name: tuple(replace(strip, slot=places[moved[strip.slot]]) for strip in strips)
            for name, strips in frame.lines.items()
        },
        states=tuple(None if state is None else places[state] for state in frame.states),
    )
