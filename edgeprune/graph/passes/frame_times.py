"""Which frame of a sequence a tensor's positions stand for, and how operators within a frame carry that on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeprune.graph.ir import AttributeValue, Node, Tensor
from edgeprune.ops.base import operator_for

__all__ = ["NotByFrames", "Timed", "within_frame"]

_ALONG = ("Div", "PRelu")
_LAST_AXIS = ("FullyConnected", "Softmax", "LogSoftmax")


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


def within_frame(node: Node, times: Times) -> tuple[Timed, Mapping[str, AttributeValue]]:
    """Where the output of `node`, which takes no other frames than its own, has its frames; and attributes for one.

    Raises:
        NotByFrames: it does more, or other, than that.
    """
    timed = [times[tensor.name] for tensor in node.inputs if tensor.name in times]
    first = timed[0]
    if any(one.begin < 0 for one in timed) and node.op not in ("Pad", "Slice", "Transpose", "Reshape"):
        raise NotByFrames("works on padding: only a convolution may follow that")
    operator = operator_for(node)
    attrs = dict(node.attrs)
    rank = len(node.inputs[0].shape)
    if operator.is_elementwise or node.op in _ALONG:
        return _elementwise(node, times), attrs
    if any(tensor.name not in times and tensor.value is None for tensor in node.inputs):
        raise NotByFrames("takes values that belong to no frame")
    if node.op in _LAST_AXIS:
        if first.axis == rank - 1:
            raise NotByFrames("mixes frames")
        return first, attrs
    if node.op == "LayerNormalization" and first.axis < node.int("axis"):
        return first, attrs
    if node.op == "MatMul" and node.inputs[0].name in times and node.inputs[1].value is not None:
        if first.axis != rank - 1 and len(node.output.shape) == rank:
            return first, attrs
    elif node.op in ("ReduceMean", "ReduceMax") and "axes" in attrs:
        axes = node.ints("axes")
        if first.axis not in axes:
            gone = 0 if node.int("keepdims") else sum(axis < first.axis for axis in axes)
            return replace(first, axis=first.axis - gone), attrs
    elif node.op == "Concat":
        if node.int("axis") not in (first.axis, first.axis - rank) and set(timed) == {first}:
            return first, attrs
    elif node.op == "Transpose":
        return replace(first, axis=node.ints("perm").index(first.axis)), attrs
    elif node.op == "Reshape":
        axis = _after_reshape(node.inputs[0].shape, node.output.shape, first.axis)
        shape = tuple(1 if i == axis else extent for i, extent in enumerate(node.output.shape))
        return replace(first, axis=axis), {**attrs, "shape": shape}
    elif node.op == "Gather" and node.inputs[0].value is not None:
        return replace(first, axis=node.int("axis") + first.axis), attrs
    raise NotByFrames(
        "mixes frames" if node.op in _MIXING else "is not known to work on each frame by itself"
    )


_MIXING = ("ReduceMean", "ReduceMax", "Concat", "MatMul", "LayerNormalization")


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


def _after_reshape(before: Sequence[int], after: Sequence[int], axis: int) -> int:
    """Which axis of `after` is `axis` of `before`, elements staying where they are."""
    outside = math.prod(before[:axis])
    for place, extent in enumerate(after):
        if math.prod(after[:place]) == outside and extent == before[axis]:
            return place
    raise NotByFrames("mixes frames")
