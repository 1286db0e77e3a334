"""In which order the rows of a stage's layers are computed.

Input rows arrive one after another. Whenever a layer has all the rows that its next turn takes, it runs; of several
such layers the last one in the network's order. So no row waits longer than it must, and nothing is computed twice.

A turn computes one row, or as many as the layer's form takes, `rows`. The first turn of such a layer comes as soon as
one row can be computed, and computes so many of those that can be as leave a multiple of `rows` for later: then the
rows that later turns of the layer before bring are those that a turn waits for, and none is held because a turn is not
full. Of the layers that are to be `even`, it computes a multiple of the rows that the form computes together, so that
none is wasted, and rows are held for that. The last turn computes what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgeprune.kernels.base import RowForm
from edgeprune.plan.rows import image_rows

__all__ = ["Event", "row_events"]


@dataclass(frozen=True)
class Event:
    """Layer number `layer` computes `rows` rows from `row` on, from rows first to last of each input without padding.

    A layer that sums over rows takes `row` of its input, and writes its output with the last one only. Where the caller
    hands the rows of an input over, layer number n of n layers is the arrival of `row`.
    """

    layer: int
    row: int
    reads: tuple[tuple[str, int, int], ...]
    writes: bool
    rows: int = 1


@dataclass(frozen=True)
class _Layer:
    output: str
    height: int
    """Rows of all turns."""
    rows: int
    windows: tuple[tuple[str, int, int, int, int], ...]
    """Of each input its name, first row of output row 0, stride, rows to the last one, and its height."""
    sums: bool
    waits: bool
    """Whether the first turn is full: its inputs are there before the stage begins."""
    least: int
    """Rows of the first turn are a multiple of so many, where it does not wait."""

    def reads(self, name: str) -> bool:
        return any(window[0] == name for window in self.windows)


def row_events(
    forms: Sequence[RowForm], fed: str | None = None, even: Collection[int] = ()
) -> tuple[Event, ...]:
    """The order of the turns of all layers, which are in an order in which they could run as a whole.

    The rows of the input `fed` come from the caller.
    """
    produced = {form.nodes[-1].output.name for form in forms}
    late = {*produced, fed}
    layers = [_layer(form, late, form.together if i in even else 1) for i, form in enumerate(forms)]
    arriving = {w[0]: w[4] for layer in layers for w in layer.windows if w[0] not in produced}
    done = dict.fromkeys([*arriving, *produced], 0)
    readers = {name: [i for i, layer in enumerate(layers) if layer.reads(name)] for name in done}
    begun = [0] * len(layers)
    ready = [_turn_rows(layer, 0, done) for layer in layers]
    events: list[Event] = []
    while True:
        index = next((i for i in reversed(range(len(layers))) if ready[i]), None)
        if index is not None:
            layer, row, rows = layers[index], begun[index], ready[index]
            last = row + rows == layer.height
            events.append(Event(index, row, _reads(layer, row, rows), last or not layer.sums, rows))
            begun[index] += rows
            changed, more = layer.output, rows if not layer.sums else int(last)
        else:
            waiting = [name for name, height in arriving.items() if done[name] < height]
            if not waiting:
                break
            changed, more = min(waiting, key=lambda name: done[name] / arriving[name]), 1
            if changed == fed:
                events.append(Event(len(layers), done[fed], (), True))
        done[changed] += more
        for i in [*readers[changed], *([] if index is None else [index])]:
            ready[i] = _turn_rows(layers[i], begun[i], done)
    assert begun == [layer.height for layer in layers], "every row of every layer is computed"
    return tuple(events)


def _layer(form: RowForm, late: set[str | None], least: int) -> _Layer:
    """`late` are the tensors whose rows come while the stage runs."""
    tensors = {tensor.name: tensor for node in form.nodes for tensor in node.inputs}
    heights = {name: image_rows(tensors[name]) for name in form.windows}
    windows = tuple(
        (name, -window.pad, window.stride, (window.kernel - 1) * window.dilation, heights[name])
        for name, window in form.windows.items()
    )
    output = form.nodes[-1].output
    height = max(heights.values()) if form.state_bytes else image_rows(output)
    waits = not any(name in late for name in heights)
    return _Layer(output.name, height, form.rows, windows, bool(form.state_bytes), waits, least)


def _turn_rows(layer: _Layer, row: int, done: Mapping[str, int]) -> int:
    """How many rows from `row` on the layer computes now: 0 where it waits for more to come."""
    ready = layer.height
    for name, first, stride, reach, height in layer.windows:
        if done[name] < height:
            ready = min(ready, (done[name] - 1 - reach - first) // stride + 1)
    more = ready - row
    if layer.rows == 1 or more <= 0:
        return min(max(more, 0), 1)
    if row == 0 and not layer.waits and layer.least == 1:
        return (more - 1) % layer.rows + 1
    if row == 0 and not layer.waits and more >= layer.least:
        return min(more, layer.rows) // layer.least * layer.least
    if more < layer.rows and ready < layer.height:
        return 0
    return min(more, layer.rows)


def _reads(layer: _Layer, row: int, rows: int) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name, first, stride, reach, height in layer.windows:
        low = max(first + row * stride, 0)
        high = min(first + (row + rows - 1) * stride + reach, height - 1)
        if low <= high:
            found.append((name, low, high))
    return tuple(found)
