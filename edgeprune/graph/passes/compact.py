"""Lossless compaction: channels whose value is the same for every input are taken out, exactly.

A channel with value k everywhere contributes w * (k - zero_point) to each sum that reads it, so it can be folded
into the reader's bias and dropped. At the border of a padded convolution the padding contributes 0 instead; there
the channel is dropped only if k is the zero point. Channels tied by elementwise operators, pools, depthwise
convolutions and concatenations go together or not at all. A tensor keeps at least one channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeprune.graph.build import constant
from edgeprune.graph.ir import Array, Graph, Node, Quant, Tensor
from edgeprune.graph.passes.channel_ranges import MONOTONE, Ranges, channel_ranges
from edgeprune.ops._convolution import conv_geometry
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.base import operator_for

__all__ = ["removed_channels", "run"]


def run(graph: Graph) -> Graph:
    """`graph` without channels that are constant; the same outputs, byte for byte."""
    ranges = channel_ranges(graph)
    ties = _tie(graph, ranges)
    keep = ties.kept()
    if all(mask.all() for mask in keep.values()):
        return graph
    tensors = {
        t.name: _narrow(t, keep[t.name]) for t in graph.tensors() if t.name in keep and t.value is None
    }
    nodes = tuple(_rewrite(node, keep, ranges, tensors) for node in graph.nodes)
    return run(replace(graph, nodes=nodes))


def removed_channels(before: Graph, after: Graph) -> int:
    """How many output channels of weighted layers `run` took out."""
    counts = [
        sum(node.inputs[1].shape[0] for node in graph.nodes if node.op in ("Conv", "FullyConnected"))
        for graph in (before, after)
    ]
    return counts[0] - counts[1]


@dataclass
class _Ties:
    """Union-find over channels, (tensor, index) numbered consecutively; a class goes whole or stays."""

    start: dict[str, int]
    size: dict[str, int]
    parent: list[int]
    fixed: set[int]

    def root(self, item: int) -> int:
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def tie(self, a: str, b: str, offset: int = 0) -> None:
        """Channel c of `a` is channel offset + c of `b`."""
        for channel in range(self.size[a]):
            one, other = self.root(self.start[a] + channel), self.root(self.start[b] + offset + channel)
            self.parent[max(one, other)] = min(one, other)

    def fix(self, tensor: str, channels: Array | None = None) -> None:
        """Channels of `tensor` (all, or where the mask is true) must stay."""
        chosen = range(self.size[tensor]) if channels is None else np.flatnonzero(channels)
        self.fixed.update(self.start[tensor] + int(channel) for channel in chosen)

    def kept(self) -> dict[str, Array]:
        """Which channels of each tensor stay; a class is spared where a tensor would lose its last."""
        while True:
            fixed = {self.root(item) for item in self.fixed}
            masks = {
                name: np.array([self.root(first + i) in fixed for i in range(self.size[name])], bool)
                for name, first in self.start.items()
            }
            empty = [name for name, mask in masks.items() if not mask.any()]
            if not empty:
                return masks
            self.fixed.update(self.start[name] for name in empty)


def _tie(graph: Graph, ranges: Mapping[str, Ranges]) -> _Ties:
    size = {name: len(interval.low) for name, interval in ranges.items()}
    start, total = {}, 0
    for name, channels in size.items():
        start[name], total = total, total + channels
    ties = _Ties(start, size, list(range(total)), set())
    for name, interval in ranges.items():
        ties.fix(name, ~interval.constant)
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.name in size:
            ties.fix(tensor.name)
    for node in graph.nodes:
        _tie_node(node, ranges, ties)
    return ties


def _tie_node(node: Node, ranges: Mapping[str, Ranges], ties: _Ties) -> None:
    activations = [t for t in node.inputs if t.value is None]
    if _absorbs(node):
        x = node.inputs[0]
        if node.op == "Conv" and conv_geometry(node).is_padded:
            ties.fix(x.name, ranges[x.name].low != x.zero_point)
    elif _is_parallel(node):
        for tensor in activations:
            ties.tie(tensor.name, node.output.name)
    elif (
        node.op == "Concat" and node.int("axis") in (-1, len(node.output.shape) - 1) and len(activations) > 1
    ):
        offset = 0
        for tensor in node.inputs:
            ties.tie(tensor.name, node.output.name, offset)
            offset += tensor.shape[-1]
    else:
        for tensor in (*activations, *node.outputs):
            if tensor.name in ties.size:
                ties.fix(tensor.name)


def _absorbs(node: Node) -> bool:
    if node.op not in ("Conv", "FullyConnected") or any(t.value is None for t in node.inputs[1:]):
        return False
    return node.op == "FullyConnected" or node.int("group") == 1


def _is_parallel(node: Node) -> bool:
    """Channel c of the output reads channel c of every activation and nothing else, one to one."""
    activations = [t for t in node.inputs if t.value is None]
    if not node.output.shape or any(not t.shape or t.shape[-1] != node.output.shape[-1] for t in activations):
        return False
    if isinstance(operator_for(node), UnaryTable):
        return True
    if node.op in ("Add", "Sub", "Mul"):
        return all(
            t.value is None or t.elements == 1 or t.shape[-1] == node.output.shape[-1] for t in node.inputs
        )
    if node.op == "Conv":
        geometry = conv_geometry(node)
        return geometry.is_depthwise and geometry.group_out_channels == 1
    if node.op == "ReduceMean":
        return len(node.inputs[0].shape) - 1 not in node.ints("axes")
    return node.op in MONOTONE and _keeps_last_axis(node)


def _keeps_last_axis(node: Node) -> bool:
    if node.op == "Pad":
        pads = node.ints("pads")
        return pads[len(pads) // 2 - 1] == 0 and pads[-1] == 0
    return node.op != "Slice" or (node.ints("starts")[-1] == 0 and node.ints("steps")[-1] == 1)


def _narrow(tensor: Tensor, mask: Array) -> Tensor:
    return replace(tensor, shape=(*tensor.shape[:-1], int(mask.sum())))


def _rewrite(
    node: Node, keep: Mapping[str, Array], ranges: Mapping[str, Ranges], new: Mapping[str, Tensor]
) -> Node:
    outputs = tuple(new.get(t.name, t) for t in node.outputs)
    inputs = tuple(new.get(t.name, t) for t in node.inputs)
    attrs = dict(node.attrs)
    if _absorbs(node):
        inputs = (inputs[0], *_folded(node, keep, ranges))
    elif node.op == "Conv" and node.output.name in keep and _is_parallel(node):
        mask = keep[node.output.name]
        inputs = (inputs[0], _rows(node.inputs[1], mask), _rows(node.inputs[2], mask))
        attrs["group"] = int(mask.sum())
    elif _is_parallel(node):
        mask = keep[node.output.name]
        inputs = tuple(
            _columns(t, mask)
            if t.value is not None and t.elements > 1 and t.shape[-1] == len(mask)
            else narrowed
            for t, narrowed in zip(node.inputs, inputs, strict=True)
        )
    if node.op == "Reshape":
        attrs["shape"] = outputs[0].shape
    elif node.op == "Slice":
        attrs["sizes"] = outputs[0].shape
    return replace(node, inputs=inputs, outputs=outputs, attrs=attrs)


def _folded(node: Node, keep: Mapping[str, Array], ranges: Mapping[str, Ranges]) -> tuple[Tensor, Tensor]:
    """Weights and bias without the channels that go: constant inputs in the bias, dead outputs dropped."""
    x, w, b = node.inputs
    assert w.value is not None
    assert b.value is not None
    stays, rows = keep[x.name], keep[node.output.name]
    gone = np.where(stays, 0, ranges[x.name].low - x.zero_point)
    sums = (w.value.astype(np.int64) * gone).sum(axis=tuple(range(1, w.value.ndim)))
    bias = (b.value + sums)[rows]
    assert np.all(np.abs(bias) < 1 << 31), node.name
    narrow = _rows(w, rows)
    assert narrow.value is not None
    return constant(w.name, narrow.value[..., stays], narrow.quant), constant(
        b.name, bias.astype(b.value.dtype), _part(b, rows)
    )


def _rows(tensor: Tensor, mask: Array) -> Tensor:
    assert tensor.value is not None
    return constant(tensor.name, tensor.value[mask], _part(tensor, mask))


def _part(tensor: Tensor, mask: Array) -> Quant | None:
    quant = tensor.quant
    if quant is None or quant.axis != 0:
        return quant
    pick = np.flatnonzero(mask)
    return Quant(tuple(quant.scale[i] for i in pick), tuple(quant.zero_point[i] for i in pick), 0)


def _columns(tensor: Tensor, mask: Array) -> Tensor:
    assert tensor.value is not None
    return constant(tensor.name, tensor.value[..., mask], tensor.quant)
