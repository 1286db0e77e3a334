"""In which order the rows of a stage's layers are computed.

Input rows arrive one after another. Whenever a layer has all the rows that its next row takes, it runs; of several
such layers the last one in the network's order. So no row waits longer than it must, and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeprune.kernels.base import RowForm
from edgeprune.plan.rows import image_rows

__all__ = ["Event", "row_events"]


@dataclass(frozen=True)
class Event:
    """Layer number `layer` computes `row`, from rows first to last of each input, those of padding left out.

    A layer that sums over rows takes `row` of its input, and writes its output with the last one only. Where the caller
    hands the rows of an input over, layer number n of n layers is the arrival of `row`.
    """

    layer: int
    row: int
    reads: tuple[tuple[str, int, int], ...]
    writes: bool


@dataclass(frozen=True)
class _Layer:
    output: str
    turns: int
    windows: tuple[tuple[str, int, int, int, int], ...]
    """Of each input its name, first row of output row 0, stride, rows to the last one, and its height."""
    sums: bool


def row_events(forms: Sequence[RowForm], fed: str | None = None) -> tuple[Event, ...]:
    """The order of the rows of all layers, which are in an order in which they could run as a whole.

    The rows of the input `fed` come from the caller.
    """
    layers = [_layer(form) for form in forms]
    produced = {layer.output for layer in layers}
    arriving = {w[0]: w[4] for layer in layers for w in layer.windows if w[0] not in produced}
    done = dict.fromkeys([*arriving, *produced], 0)
    turn = [0] * len(layers)
    events: list[Event] = []
    while True:
        ready = next((i for i in reversed(range(len(layers))) if _is_ready(layers[i], turn[i], done)), None)
        if ready is not None:
            layer = layers[ready]
            last = turn[ready] == layer.turns - 1
            events.append(Event(ready, turn[ready], _reads(layer, turn[ready]), last or not layer.sums))
            turn[ready] += 1
            done[layer.output] += 1 if not layer.sums else int(last)
            continue
        waiting = [name for name, height in arriving.items() if done[name] < height]
        if not waiting:
            break
        arrived = min(waiting, key=lambda name: done[name] / arriving[name])
        if arrived == fed:
            events.append(Event(len(layers), done[fed], (), True))
        done[arrived] += 1
    assert turn == [layer.turns for layer in layers], "every row of every layer is computed"
    return tuple(events)


def _layer(form: RowForm) -> _Layer:
    tensors = {tensor.name: tensor for node in form.nodes for tensor in node.inputs}
    heights = {name: image_rows(tensors[name]) for name in form.windows}
    windows = tuple(
        (name, -window.pad, window.stride, (window.kernel - 1) * window.dilation, heights[name])
        for name, window in form.windows.items()
    )
    output = form.nodes[-1].output
    turns = max(heights.values()) if form.state_bytes else image_rows(output)
    return _Layer(output.name, turns, windows, bool(form.state_bytes))


def _is_ready(layer: _Layer, row: int, done: Mapping[str, int]) -> bool:
    return row < layer.turns and all(
        done[name] > min(first + row * stride + reach, height - 1)
        for name, first, stride, reach, height in layer.windows
    )


def _reads(layer: _Layer, row: int) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name, first, stride, reach, height in layer.windows:
        low, high = max(first + row * stride, 0), min(first + row * stride + reach, height - 1)
        if low <= high:
            found.append((name, low, high))
    return tuple(found)
