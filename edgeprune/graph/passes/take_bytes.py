"""The network takes an image of bytes: a FromBytes before its first layer, which costs as little as can be.

The layer is a table unless the input's own scale and zero point are those of the bytes, 1 / std and mean - 128. Where
every reader of the input is a convolution or fully connected, they are made so: a sum of w * (x - zero_point) + b at
the scale s of x is one at scale 1 / std with the bias b * s * std, and both the first layer's weights and the byte stay
as they are. The only rounding is that of the bias, by at most half of the least step that its layer adds up in; that of
the input to s is spared. Padding stands for the mean, so the mean must be a byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeprune.byte_input import ByteInput
from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder, constant, replace_tensors
from edgeprune.graph.ir import Array, Graph, Node, Quant, Tensor
from edgeprune.ops._convolution import accumulator_bounds

__all__ = ["run"]

_WEIGHTED, _MOVING = ("Conv", "FullyConnected"), ("Reshape", "Transpose", "Slice")
_ROUNDING = 1e-3
"""How far a mean may be from a byte: a thousandth of a step, far below the input's own rounding."""
_WIDEST, _NARROW = 1 << 31, 1 << 23
"""What a sum's magnitude must stay below: in int32 at all, and for kernels that keep a byte beside it."""


def run(graph: Graph, image: ByteInput | None) -> Graph:
    """`graph` with its only input taken as bytes; `graph` itself where `image` is None.

    Raises:
        UsageError: the network has another input than one of real numbers, or `image` other channels than it.
    """
    if image is None:
        return graph
    if len(graph.inputs) != 1 or graph.inputs[0].dtype != "int8":
        raise UsageError(
            f"the network {graph.name!r} has not one input of real numbers, for which bytes could stand: leave out "
            "--input-uint8"
        )
    if len(image.means) not in (1, graph.inputs[0].shape[-1] if graph.inputs[0].shape else 1):
        raise UsageError(
            f"--input-mean and --input-std are of {len(image.means)} channels, but the input of the network "
            f"{graph.name!r} has {graph.inputs[0].shape[-1]}: give one number, or as many"
        )
    graph = _at_the_scale_of_bytes(graph, image)
    taken = graph.inputs[0]
    name = Builder({tensor.name for tensor in graph.tensors()}).unique(f"{taken.name}_bytes")
    given = Tensor(name, taken.shape, "uint8")
    node = Node("FromBytes", name, (given,), (taken,), {"means": image.means, "stds": image.stds})
    layouts = dict(graph.layouts)
    if taken.name in layouts:
        layouts[given.name] = layouts.pop(taken.name)
    return replace(graph, nodes=(node, *graph.nodes), inputs=(given,), layouts=layouts)


def _at_the_scale_of_bytes(graph: Graph, image: ByteInput) -> Graph:
    """`graph` with the scale and zero point of the bytes at its input, where that is possible."""
    mean = round(image.means[0])
    whole = len(image.means) == 1 and abs(image.means[0] - mean) <= _ROUNDING and 0 <= mean <= 255
    reading = _readers(graph)
    if not whole or reading is None:
        return graph
    moved, weighted = reading
    quant = Quant.per_tensor(1.0 / image.stds[0], mean - 128)
    ratio = graph.inputs[0].scale * image.stds[0]
    swap = {name: replace(tensor, quant=quant) for name, tensor in moved.items()}
    biases: dict[str, Tensor] = {}
    for node in weighted:
        bias = node.inputs[2]
        assert bias.value is not None
        rescaled = np.rint(bias.value.astype(np.float64) * ratio)
        if np.abs(rescaled).max(initial=0.0) >= _WIDEST:
            return graph
        before = _largest_sum(node, node.inputs[0].zero_point, bias.value)
        if _largest_sum(node, quant.zero_point[0], rescaled) >= (_NARROW if before < _NARROW else _WIDEST):
            return graph
        own = bias.quant and replace(bias.quant, scale=tuple(scale / ratio for scale in bias.quant.scale))
        biases[node.name] = constant(f"{bias.name}_of_bytes", rescaled.astype(np.int32), own)
    nodes = tuple(
        replace(node, inputs=(*node.inputs[:2], biases[node.name])) if node.name in biases else node
        for node in graph.nodes
    )
    return replace(
        graph,
        nodes=replace_tensors(nodes, swap),
        inputs=tuple(swap.get(tensor.name, tensor) for tensor in graph.inputs),
    )


def _largest_sum(node: Node, zero_point: int, bias: Array) -> int:
    """The largest magnitude that a sum of `node` can have, were its input at `zero_point` and its bias `bias`."""
    weights = node.inputs[1].value
    assert weights is not None
    low, high = accumulator_bounds(zero_point, weights, bias)
    return int(np.maximum(-low, high).max(initial=0))


def _readers(graph: Graph) -> tuple[Mapping[str, Tensor], tuple[Node, ...]] | None:
    """The tensors that hold the input's values, and the weighted layers that read them; None if others do as well."""
    consumers, produced = graph.consumers(), {tensor.name for tensor in graph.outputs}
    moved: dict[str, Tensor] = {}
    weighted: dict[str, Node] = {}
    left = list(graph.inputs)
    while left:
        tensor = left.pop()
        if tensor.name in produced:
            return None
        moved[tensor.name] = tensor
        for node in consumers.get(tensor.name, ()):
            if node.op in _WEIGHTED and all(one.value is not None for one in node.inputs[1:]):
                weighted[node.name] = node
            elif node.op in _MOVING:
                left.extend(node.outputs)
            else:
                return None
    return moved, tuple(weighted.values())
