"""Other shapes under which nodes compute the same bytes: a pixel's row and column as one axis, or all axes as one.

A 1x1 convolution with what is done to its results treats each pixel by itself, and element by element work each
element; fewer axes make simpler loops, with tiles that no row's end cuts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from edgeprune.graph.ir import Node, Shape, Tensor
from edgeprune.ops._onnx_model import node_proto

__all__ = ["flat_shapes"]

_BY_CHANNEL = frozenset(("BatchNormalization", "PRelu"))
"""Work element by element that knows its channel."""


def flat_shapes(nodes: Sequence[Node], elementwise: frozenset[str]) -> Mapping[str, Shape]:
    """Shapes for tensors of `nodes`, by name; empty where the nodes must see their own.

    Args:
        nodes: One step's.
        elementwise: The ONNX operators that do.
    """
    kinds = [str(node.attrs["type"]) for node in nodes]
    full = nodes[-1].output.shape
    if kinds[0] == "Conv" and _is_pointwise(nodes[0]) and elementwise.issuperset(kinds[1:]):
        return _renamed(nodes, full, _pixels)
    if elementwise.issuperset(kinds) and not _BY_CHANNEL.intersection(kinds) and len(full) > 1:
        return _renamed(nodes, full, _elements)
    return {}


def _is_pointwise(node: Node) -> bool:
    proto = node_proto(node)
    attributes = {a.name: tuple(a.ints) for a in proto.attribute if a.name in ("strides", "pads")}
    padded = any(attributes.get("pads", ())) or any(a.name == "auto_pad" for a in proto.attribute)
    strided = any(step != 1 for step in attributes.get("strides", ()))
    return node.inputs[1].shape[2:] == (1, 1) and not padded and not strided


def _pixels(tensor: Tensor, full: Shape) -> Shape | None:
    """[N, C, 1, H * W] of an image, whatever its channels; nothing of what is the same for all pixels."""
    if len(tensor.shape) == len(full) and tensor.shape[2:] == full[2:]:
        return (*tensor.shape[:2], 1, math.prod(full[2:]))
    same = all(extent == 1 for extent in tensor.shape[-2:]) if len(tensor.shape) > 1 else tensor.elements == 1
    return () if same else None


def _elements(tensor: Tensor, full: Shape) -> Shape | None:
    if tensor.shape == full:
        return (math.prod(full),)
    return () if tensor.elements == 1 and len(tensor.shape) <= 1 else None


def _renamed(
    nodes: Sequence[Node], full: Shape, flat: Callable[[Tensor, Shape], Shape | None]
) -> Mapping[str, Shape]:
    """What `flat` makes of every operand; () keeps a shape, None says that it cannot be."""
    weights = {t.name for t in nodes[0].inputs[1:]} if nodes[0].attrs["type"] == "Conv" else set()
    found: dict[str, Shape] = {}
    for node in nodes:
        for tensor in (*node.inputs, *node.outputs):
            if tensor.name in weights and tensor.value is not None:
                continue
            shape = flat(tensor, full)
            if shape is None:
                return {}
            if shape:
                found[tensor.name] = shape
    return found
