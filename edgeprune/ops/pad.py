"""Pad by a constant, by reflection, or by repeating the edge; negative pads crop."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, AttributeValue, Node, Shape, Tensor
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._values import constant_ints, normalized_axis, scalar
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Pad"]

_MODES = ("constant", "reflect", "edge")


class Pad(DataMovement):
    """The input with a border.

    attrs pads: elements before each axis, then after each, none negative; value: the border's stored value in
    mode "constant"; mode: "constant", "reflect" (without the edge itself) or "edge".
    """

    name = "Pad"
    onnx_types = ("Pad",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        mode = str(node.attrs.get("mode", "constant"))
        if mode not in _MODES:
            raise UsageError(f"Pad node {node.name!r} has mode {mode!r}; supported are {', '.join(_MODES)}")
        before, after = _pads(node, x)
        if any(pad < 0 for pad in before + after):
            x = _crop(build, node.name, x, before, after)
            before, after = ([max(pad, 0) for pad in side] for side in (before, after))
        if mode == "reflect" and any(
            pad >= extent for side in (before, after) for pad, extent in zip(side, x.shape, strict=True)
        ):
            raise UsageError(f"Pad node {node.name!r} reflects more than its input of shape {x.shape} holds")
        real = scalar(node, 2, "value", 0.0) if node.opset >= 11 else float(node.attrs.get("value", 0.0))
        attrs: dict[str, AttributeValue] = {
            "pads": (*before, *after),
            "value": _stored(x, real),
            "mode": mode,
        }
        build.add(self.name, node.name, [x], [y], attrs)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        pads, shape = node.ints("pads"), node.inputs[0].shape
        if min(pads) < 0 or len(pads) != 2 * len(shape):
            raise ValueError(f"pads {pads} must be two for each of {len(shape)} axes, none negative")
        rank = len(shape)
        return (tuple(pads[i] + shape[i] + pads[rank + i] for i in range(rank)),)

    def move(self, node: Node, *inputs: Array) -> Array:
        return self._pad(node, inputs[0], node.int("value"))

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, value = node.inputs[0], node.int("value")
        return (self._pad(node, inputs[0], value if x.quant is None else x.scale * (value - x.zero_point)),)

    def _pad(self, node: Node, x: Array, value: float) -> Array:
        pads, rank = node.ints("pads"), x.ndim
        widths = [(pads[i], pads[rank + i]) for i in range(rank)]
        if node.attrs["mode"] == "constant":
            return np.pad(x, widths, constant_values=value)
        return np.pad(x, widths, mode="edge" if node.attrs["mode"] == "edge" else "reflect")

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        pads, rank = node.ints("pads"), len(perm)
        permuted = tuple(pads[side + axis] for side in (0, rank) for axis in perm)
        return {**node.attrs, "pads": permuted}


def _pads(node: OnnxNode, x: Tensor) -> tuple[list[int], list[int]]:
    rank = len(x.shape)
    given = constant_ints(node, 1, "pads")
    if given is None:
        raise UsageError(f"Pad node {node.name!r} lacks its pads")
    named = constant_ints(node, 3, "axes")
    axes = [normalized_axis(node, axis, rank) for axis in (range(rank) if named is None else named)]
    if len(given) != 2 * len(axes):
        raise UsageError(
            f"Pad node {node.name!r} has {len(given)} pads for {len(axes)} axes, not two for each"
        )
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = given[position], given[len(axes) + position]
    return before, after


def _crop(build: Builder, name: str, x: Tensor, before: list[int], after: list[int]) -> Tensor:
    starts = tuple(max(-pad, 0) for pad in before)
    removed = zip(x.shape, starts, after, strict=True)
    sizes = tuple(extent - start - max(-pad, 0) for extent, start, pad in removed)
    if min(sizes) < 1:
        raise UsageError(f"Pad node {name!r} crops all of its input of shape {x.shape}")
    cropped = build.tensor(f"{x.name}_cropped", sizes, x.dtype, x.quant)
    attrs = {"starts": starts, "steps": (1,) * len(starts), "sizes": sizes}
    build.add("Slice", f"{name}.crop", [x], [cropped], attrs)
    return cropped


def _stored(x: Tensor, real: float) -> int:
    if x.quant is None:
        return int(real)
    info = np.iinfo(x.dtype)
    return int(np.clip(np.rint(real / x.scale) + x.zero_point, info.min, info.max))


OPERATOR = Pad()
