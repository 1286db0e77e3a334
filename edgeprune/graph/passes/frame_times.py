"""Which frame of a sequence a tensor's positions stand for, and how operators carry that on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.graph.ir import Attributes, AttributeValue, Node, Tensor
from edgeprune.ops._movement import DataMovement
from edgeprune.ops.base import operator_for

__all__ = [
    "TAKEN",
    "Moved",
    "NotByFrames",
    "Timed",
    "one_frame",
    "padded",
    "sliced",
    "with_at",
    "within_frame",
]

TAKEN = "pads a sequence whose first frames another layer has taken"


class NotByFrames(Exception):
    """Why a node cannot run frame by frame, as what follows "it"."""


@dataclass(frozen=True)
class Timed:
    """Position p on `axis` stands for frame `begin` + p of the sequence.

    Frames before 0 are zeros that a padding put there. Positions behind the sequence's last frame are of no interest.
    """

    axis: int
    begin: int = 0


Times = Mapping[str, Timed]


@dataclass(frozen=True)
class Moved:
    """What a Slice or a Pad does to a sequence: `begin` of its output, and what it does to each frame.

    With `attrs` of None frames stay as they are. The `latest` is the sequence's last frame alone.
    """

    begin: int
    attrs: Attributes | None
    latest: bool = False


def one_frame(tensor: Tensor, axis: int) -> Tensor:
    """One frame of `tensor`."""
    return replace(tensor, shape=with_at(tensor.shape, axis, 1))


def with_at(numbers: Sequence[int], place: int, number: int) -> tuple[int, ...]:
    """`numbers` with another at one place."""
    return (*numbers[:place], number, *numbers[place + 1 :])


def within_frame(node: Node, times: Times) -> tuple[Timed, Attributes]:
    """Where the output of `node`, which takes no other frames than its own, has its frames; and attributes for one.

    Raises:
        NotByFrames: it does more, or other, than that.
    """
    operator = operator_for(node)
    timed = [times[tensor.name] for tensor in node.inputs if tensor.name in times]
    if any(one.begin < 0 for one in timed) and not isinstance(operator, DataMovement):
        raise NotByFrames("works on padding: only a convolution may follow that")
    if operator.is_elementwise or operator.broadcasts:
        return _elementwise(node, times), node.attrs
    if any(tensor.name not in times and tensor.value is None for tensor in node.inputs):
        raise NotByFrames("takes values that belong to no frame")
    if len(set(timed)) > 1:
        raise NotByFrames("brings frames of different times together")
    found = operator.one_position(node, timed[0].axis)
    if found is None:
        raise NotByFrames("mixes frames, or is not known to work on each frame by itself")
    axis, attrs = found
    return replace(timed[0], axis=axis), attrs


def sliced(node: Node, time: Timed, steps: int) -> Moved:
    """What a Slice does to a sequence of so many `steps`: along the axis of frames it changes which there are.

    Raises:
        NotByFrames: it leaves out frames in between, or the last ones.
    """
    axis, shape = time.axis, node.inputs[0].shape
    starts, strides, sizes = (node.ints(key) for key in ("starts", "steps", "sizes"))
    begin, size = time.begin + starts[axis], sizes[axis]
    if strides[axis] != 1 or begin + size < steps:
        raise NotByFrames("leaves out frames")
    plain = all(sizes[i] == extent for i, extent in enumerate(shape) if i != axis)
    attrs: dict[str, AttributeValue] = {
        "starts": with_at(starts, axis, 0),
        "steps": with_at(strides, axis, 1),
        "sizes": with_at(sizes, axis, 1),
    }
    return Moved(begin, None if plain else attrs, latest=size == 1 and begin + size == steps)


def padded(node: Node, time: Timed) -> Moved:
    """What a Pad does to a sequence: along the axis of frames it puts zeros before it, or what nobody reads behind.

    Raises:
        NotByFrames: it pads with other things than zeros, or where they would have to be told from frames.
    """
    x, axis, pads = node.inputs[0], time.axis, node.ints("pads")
    rank = len(x.shape)
    before, behind = pads[axis], pads[rank + axis]
    within = any(pads[i] or pads[rank + i] for i in range(rank) if i != axis)
    if before or behind:
        if before and time.begin > 0:
            raise NotByFrames(TAKEN)
        if node.attrs["mode"] != "constant" or node.int("value") != x.zero_point:
            raise NotByFrames("pads the sequence with other things than zeros")
        if within:
            raise NotByFrames("pads frames and the sequence at once")
    return Moved(time.begin - before, node.attrs if within else None)


def _elementwise(node: Node, times: Times) -> Timed:
    """The place of frames in a sum or its like, whose operands broadcast from the last axis on."""
    rank, found = len(node.output.shape), set[Timed]()
    for tensor in node.inputs:
        if tensor.name in times:
            one = times[tensor.name]
            found.add(replace(one, axis=one.axis + rank - len(tensor.shape)))
    timed = found.pop()
    if found:
        raise NotByFrames("brings frames of different times together")
    for tensor in node.inputs:
        if tensor.name not in times:
            _check_constant(tensor, timed.axis - (rank - len(tensor.shape)))
    return timed


def _check_constant(tensor: Tensor, axis: int) -> None:
    if tensor.value is None:
        raise NotByFrames("takes values that belong to no frame")
    if axis >= 0 and tensor.shape[axis] != 1:
        raise NotByFrames("treats frames differently by their place in the sequence")
