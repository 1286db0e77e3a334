"""Slice, and Split as one Slice per output."""

from __future__ import annotations

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._values import constant_ints, normalized_axis
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Slice"]


class Slice(DataMovement):
    """Element i along an axis is element starts[axis] + i * steps[axis] of the input, for i < sizes[axis].

    All three attributes have one entry per axis; steps may be negative, starts are not.
    """

    name = "Slice"
    onnx_types = ("Slice", "Split")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        if node.op_type == "Split":
            self._lower_split(node, build)
            return
        x = node.required(0)
        starts, ends = constant_ints(node, 1, "starts"), constant_ints(node, 2, "ends")
        if starts is None or ends is None:
            raise UsageError(f"Slice node {node.name!r} lacks its starts or ends")
        axes = constant_ints(node, 3, "axes") or tuple(range(len(starts)))
        steps = constant_ints(node, 4, "steps") or (1,) * len(starts)
        ranges = [range(extent) for extent in x.shape]
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index = normalized_axis(node, axis, len(ranges))
            ranges[index] = ranges[index][start:end:step]
        if any(len(chosen) == 0 for chosen in ranges):
            raise UsageError(f"Slice node {node.name!r} leaves nothing of its input of shape {x.shape}")
        self._add(build, node.name, x, node.outputs[0], ranges)

    def _lower_split(self, node: OnnxNode, build: Builder) -> None:
        x = node.required(0)
        axis = normalized_axis(node, int(node.attrs.get("axis", 0)), len(x.shape))
        equal = -(-x.shape[axis] // len(node.outputs))
        sizes = constant_ints(node, 1, "split") or (
            *(equal,) * (len(node.outputs) - 1),
            x.shape[axis] - equal * (len(node.outputs) - 1),
        )
        if sum(sizes) != x.shape[axis] or min(sizes) < 1 or len(sizes) != len(node.outputs):
            raise UsageError(
                f"Split node {node.name!r} cannot divide {x.shape[axis]} elements on axis {axis} into {sizes}"
            )
        begin = 0
        for number, (y, size) in enumerate(zip(node.outputs, sizes, strict=True)):
            ranges = [range(extent) for extent in x.shape]
            ranges[axis] = range(begin, begin + size)
            if y.name:
                self._add(build, f"{node.name}.{number}", x, y, ranges)
            begin += size

    def _add(self, build: Builder, name: str, x: Tensor, y: Tensor, ranges: list[range]) -> None:
        attrs = {
            "starts": tuple(chosen.start for chosen in ranges),
            "steps": tuple(chosen.step for chosen in ranges),
            "sizes": tuple(len(chosen) for chosen in ranges),
        }
        build.add(self.name, name, [x], [y], attrs)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        attributes = (node.ints(key) for key in ("starts", "steps", "sizes"))
        for extent, start, step, size in zip(node.inputs[0].shape, *attributes, strict=True):
            if size < 1 or not (0 <= start < extent and 0 <= start + (size - 1) * step < extent):
                raise ValueError(f"takes {size} elements from {start} by {step} out of {extent}")
        return (node.ints("sizes"),)

    def move(self, node: Node, *inputs: Array) -> Array:
        moved = inputs[0]
        bounds = zip(node.ints("starts"), node.ints("steps"), node.ints("sizes"), strict=True)
        for axis, (start, step, size) in enumerate(bounds):
            moved = moved.take(range(start, start + size * step, step), axis=axis)
        return moved

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return {key: tuple(node.ints(key)[axis] for axis in perm) for key in ("starts", "steps", "sizes")}


OPERATOR = Slice()
