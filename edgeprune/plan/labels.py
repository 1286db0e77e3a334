"""Which pruning group every element of every activation belongs to.

Weighted layers start it: their output channels carry the skeleton's labels. Data movement carries labels as it
carries values, so its own reference is run on arrays of label numbers; elementwise operators pass them through,
pools and means keep those of the channel they work in. What is labelled differently by two inputs, and what
any other operator computes, belongs to no group: it keeps its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.graph.skeleton import Skeleton
from edgeprune.ops import operator_for
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._table import UnaryTable

__all__ = ["FROZEN", "WEIGHTED", "Labels", "group_numbers", "group_sizes", "label_activations"]

FROZEN = 0
"""The number of elements that belong to no group."""

WEIGHTED = ("Conv", "ConvTranspose", "FullyConnected", "Gather", "Gru", "Lstm", "Rnn")
"""Operators with weights, and channels on the last axis of input and outputs; a Gather's input is its table."""

MOVES = ("DepthToSpace", "SpaceToDepth")
ELEMENTWISE = (
    "Add",
    "BatchNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "Mul",
    "PRelu",
    "Softmax",
    "Sub",
)
POOLS = ("AveragePool", "MaxPool", "ResizeLinear")

Labels = npt.NDArray[np.int32]


def group_numbers(skeleton: Skeleton) -> dict[str, int]:
    """A number for each group that has widths."""
    return {group: index for index, group in enumerate(skeleton.widths, start=1)}


def group_sizes(labels: Labels, skeleton: Skeleton) -> dict[str, int]:
    """Elements of each group among `labels`, for the groups that occur."""
    names = {number: group for group, number in group_numbers(skeleton).items()}
    numbers, counts = np.unique(labels, return_counts=True)
    return {
        names[int(number)]: int(count)
        for number, count in zip(numbers, counts, strict=True)
        if number != FROZEN
    }


def label_activations(skeleton: Skeleton) -> dict[str, Labels]:
    """For every activation of the skeleton's graph, its elements' group numbers, in the tensor's shape."""
    numbers = group_numbers(skeleton)
    known = {tensor.name: _frozen(tensor) for tensor in skeleton.graph.inputs}
    for node in skeleton.graph.nodes:
        if node.op in WEIGHTED and node.name in skeleton.layers:
            channels = [numbers.get(group or "", FROZEN) for group in skeleton.layers[node.name].outputs]
            for tensor in node.outputs:
                known[tensor.name] = _on_last_axis(np.array(channels, np.int32), tensor)
            continue
        for tensor, labels in zip(node.outputs, _through(node, known), strict=True):
            known[tensor.name] = labels
    return known


def _through(node: Node, known: Mapping[str, Labels]) -> Sequence[Labels]:
    operator = operator_for(node)
    inputs = [known.get(tensor.name, _frozen(tensor)) for tensor in node.inputs]
    if node.op == "Pad":
        return [_padded(inputs[0], node)]
    if isinstance(operator, DataMovement) or node.op in MOVES:
        return operator.reference(node, *inputs)
    if isinstance(operator, UnaryTable) or node.op in ELEMENTWISE:
        arriving = [
            labels for tensor, labels in zip(node.inputs, inputs, strict=True) if tensor.value is None
        ]
        return [_agreed(arriving, node.output)]
    if node.op in POOLS:
        return [_on_last_axis(_common(inputs[0], tuple(range(inputs[0].ndim - 1))), node.output)]
    if node.op == "MatMul" and not inputs[0].any():
        # Values mixed by scores keep their channels; what sums over channels has none.
        columns = _common(inputs[1], (-1 if node.int("transpose_b") else -2,))
        return [_on_last_axis(np.expand_dims(columns, -2), node.output)]
    if node.op == "ReduceMean":
        return [_common(inputs[0], node.ints("axes")).reshape(node.output.shape)]
    return [_frozen(tensor) for tensor in node.outputs]


def _padded(labels: Labels, node: Node) -> Labels:
    """A border along the image belongs to the channel it continues; added channels belong to nobody."""
    pads, rank = node.ints("pads"), labels.ndim
    for axis in range(rank):
        uniform = axis < rank - 1 and (labels == labels.take([0], axis=axis)).all()
        widths = [(pads[axis], pads[rank + axis]) if other == axis else (0, 0) for other in range(rank)]
        labels = np.pad(labels, widths, mode="edge") if uniform else np.pad(labels, widths)
    return labels


def _frozen(tensor: Tensor) -> Labels:
    return np.full(tensor.shape, FROZEN, np.int32)


def _on_last_axis(channels: Labels, tensor: Tensor) -> Labels:
    return np.broadcast_to(channels, tensor.shape)


def _agreed(arriving: Sequence[Labels], output: Tensor) -> Labels:
    """Labels where all inputs agree; an input of one element along an axis has no say there."""
    result: Labels | None = None
    for labels in arriving:
        wide = np.broadcast_to(labels, output.shape)
        if labels.size < output.elements and not labels.any():
            continue
        result = wide if result is None else np.where(result == wide, result, FROZEN)
    return _frozen(output) if result is None else result


def _common(labels: Labels, axes: tuple[int, ...]) -> Labels:
    """The label all elements along `axes` share, without those axes."""
    low: Array = labels.min(axis=axes)
    return np.where(low == labels.max(axis=axes), low, FROZEN).astype(np.int32)
