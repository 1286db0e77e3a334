"""What values each channel of each activation can take: an interval of stored integers per channel.

Interval arithmetic, forward from the graph's inputs, whose channels may be anything. It holds for every input,
because each rule bounds its operator over all inputs within the intervals; an operator without a rule gives the
whole range. Channels are the last axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array, Graph, Node, Tensor
from edgeprune.ops._convolution import conv_geometry, requantize_channels
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import operator_for

__all__ = ["MONOTONE", "Ranges", "channel_ranges"]

MONOTONE = ("MaxPool", "AveragePool", "ReduceMean", "Resize", "Slice", "Pad", "Reshape")
"""Operators whose outputs never fall when an input rises, and whose channel c reads only channel c."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """Least and largest stored value of each channel, int64 [C]."""

    low: Array
    high: Array

    @property
    def constant(self) -> Array:
        """Which channels are the same for every input, at every position."""
        return np.equal(self.low, self.high)


def channel_ranges(graph: Graph) -> Mapping[str, Ranges]:
    """The intervals of every int8 activation with at least one axis, by tensor name."""
    known: dict[str, Ranges] = {}
    for tensor in graph.inputs:
        if tensor.dtype == "int8" and tensor.shape:
            known[tensor.name] = _anything(tensor)
    for node in graph.nodes:
        rule = _rule(node)
        ready = all(t.value is not None or t.name in known for t in node.inputs)
        for tensor in node.outputs:
            if tensor.dtype == "int8" and tensor.shape:
                known[tensor.name] = rule(node, known) if rule is not None and ready else _anything(tensor)
    return known


def _rule(node: Node) -> Callable[[Node, Mapping[str, Ranges]], Ranges] | None:
    if isinstance(operator_for(node), UnaryTable):
        return _table
    if node.op in MONOTONE:
        kept = (
            node.inputs[0].shape and node.output.shape and node.inputs[0].shape[-1] == node.output.shape[-1]
        )
        return _monotone if kept else None
    if node.op == "Concat":
        return _concat if node.int("axis") in (-1, len(node.output.shape) - 1) else None
    rules = {
        "Conv": _conv,
        "FullyConnected": _fully_connected,
        "Add": _corners,
        "Sub": _corners,
        "Mul": _corners,
    }
    return rules.get(node.op)


def _anything(tensor: Tensor) -> Ranges:
    channels = tensor.shape[-1]
    return Ranges(np.full(channels, -128, np.int64), np.full(channels, 127, np.int64))


def _table(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    operator, given = operator_for(node), known[node.inputs[0].name]
    assert isinstance(operator, UnaryTable)
    table = operator.table(node).astype(np.int64)
    parts = [table[low + 128 : high + 129] for low, high in zip(given.low, given.high, strict=True)]
    return Ranges(np.array([part.min() for part in parts]), np.array([part.max() for part in parts]))


def _monotone(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    x, given = node.inputs[0], known[node.inputs[0].name]
    results = []
    for bound in (given.low, given.high):
        filled = np.broadcast_to(bound.astype(np.int8), x.shape)
        rest = [t.value for t in node.inputs[1:] if t.value is not None]
        results.append(
            operator_for(node).reference(node, filled, *rest)[0].reshape(-1, len(bound)).astype(np.int64)
        )
    return Ranges(results[0].min(axis=0), results[1].max(axis=0))


def _concat(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    parts = [known[tensor.name] for tensor in node.inputs if tensor.name in known]
    if len(parts) != len(node.inputs):
        return _anything(node.output)
    return Ranges(np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts]))


def _corners(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    """Add, Sub and Mul are monotone in each operand, so their extremes lie at the corners of the intervals."""
    channels, rank = node.output.shape[-1], len(node.output.shape)
    ends: list[tuple[Array, ...]] = []
    for tensor in node.inputs:
        if tensor.value is not None:
            if tensor.elements not in (1, tensor.shape[-1] if tensor.shape else 1):
                return _anything(node.output)
            ends.append((tensor.value.reshape(-1),))
        else:
            given = known[tensor.name]
            ends.append((given.low.astype(np.int8), given.high.astype(np.int8)))
    shape = (1,) * (rank - 1) + (channels,)
    corners = [
        operator_for(node)
        .reference(node, np.broadcast_to(a, shape), np.broadcast_to(b, shape))[0]
        .reshape(-1)
        for a in ends[0]
        for b in ends[1]
    ]
    stacked = np.stack(corners).astype(np.int64)
    return Ranges(stacked.min(axis=0), stacked.max(axis=0))


def _conv(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    geometry, x, given = conv_geometry(node), node.inputs[0], known[node.inputs[0].name]
    low, high = given.low - x.zero_point, given.high - x.zero_point
    if geometry.is_padded:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    inside, outside = geometry.group_in_channels, geometry.group_out_channels
    first = np.arange(geometry.out_channels) // outside * inside
    columns = first[:, None] + np.arange(inside)
    return _weighted(node, low[columns][:, None, None, :], high[columns][:, None, None, :])


def _fully_connected(node: Node, known: Mapping[str, Ranges]) -> Ranges:
    x, given = node.inputs[0], known[node.inputs[0].name]
    return _weighted(node, (given.low - x.zero_point)[None], (given.high - x.zero_point)[None])


def _weighted(node: Node, low: Array, high: Array) -> Ranges:
    """Bounds of the sums, requantised: both steps are monotone."""
    w, b = node.inputs[1].value, node.inputs[2].value
    if w is None or b is None:
        return _anything(node.output)
    weights = w.astype(np.int64)
    products = np.stack([weights * low, weights * high])
    axes = tuple(range(1, weights.ndim))
    least = products.min(axis=0).sum(axis=axes) + b
    most = products.max(axis=0).sum(axis=axes) + b
    ends = (requantize_channels(node, end).astype(np.int64) for end in (least, most))
    return Ranges(*ends)
