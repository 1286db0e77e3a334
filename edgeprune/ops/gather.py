"""Gather: slices of a table along one axis, picked by integers.

Indices count from 0, or from the end where they are negative, as in ONNX. Constant indices are checked and
counted from 0 when the graph is made; a single one or an arithmetic progression becomes a Slice, which moves
blocks. Indices that arrive at run time are clamped: -V and below picks slice 0, V and above slice V - 1, so that
no input makes the library read outside the table.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Quant, Shape, Tensor
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._values import normalized_axis, real_value
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Gather"]


class Gather(DataMovement):
    """y[a, i, b] = data[a, indices[i], b], where a runs over the axes before `axis` and b over those after it.

    Inputs: data, int8 or int32, constant (an embedding) or computed; indices int32, constant or computed.
    """

    name = "Gather"
    onnx_types = ("Gather",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        data, indices, y = node.required(0), node.required(1), node.outputs[0]
        axis = normalized_axis(node, int(node.attrs.get("axis", 0)), len(data.shape))
        if data.value is not None:
            data = _stored_table(data, y, build)
        if indices.value is None:
            if indices.dtype != "int32":
                raise UsageError(
                    f"Gather node {node.name!r} has indices of type {indices.dtype}; they must be integers"
                )
            build.add(self.name, node.name, [data, indices], [y], {"axis": axis})
            return
        chosen = _counted_from_zero(node, indices.value, data.shape[axis])
        step = _common_step(chosen.reshape(-1))
        if data.value is None and step is not None:
            self._lower_progression(node, data, axis, chosen, step, build)
            return
        stored = build.constant(indices.name, chosen.astype(np.int32))
        build.add(self.name, node.name, [data, stored], [y], {"axis": axis})

    def _lower_progression(
        self, node: OnnxNode, data: Tensor, axis: int, chosen: Array, step: int, build: Builder
    ) -> None:
        starts = tuple(int(chosen.flat[0]) if i == axis else 0 for i in range(len(data.shape)))
        steps = tuple(step if i == axis else 1 for i in range(len(data.shape)))
        sizes = tuple(chosen.size if i == axis else extent for i, extent in enumerate(data.shape))
        y = node.outputs[0]
        attrs = {"starts": starts, "steps": steps, "sizes": sizes}
        if sizes == y.shape:
            build.add("Slice", node.name, [data], [y], attrs)
            return
        sliced = build.tensor(f"{y.name}_slice", sizes, y.dtype, y.quant)
        build.add("Slice", node.name, [data], [sliced], attrs)
        build.reshape(sliced, y.shape, y)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        (data, indices), axis = node.inputs, node.int("axis")
        return ((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]),)

    def check(self, node: Node) -> None:
        data, indices = node.inputs
        if (data.dtype, data.quant) != (node.output.dtype, node.output.quant):
            raise ValueError(f"{data.name} and {node.output.name} must have one type, scale and zero point")
        if indices.dtype != "int32":
            raise ValueError(f"the indices {indices.name} must be int32")

    def one_position(self, node: Node, axis: int) -> tuple[int, Attributes] | None:
        table = node.inputs[0].value is not None
        return (node.int("axis") + axis, node.attrs) if table else None

    def move(self, node: Node, *inputs: Array) -> Array:
        data, indices = inputs
        axis = node.int("axis")
        extent, chosen = data.shape[axis], indices.astype(np.int64)
        return data.take(np.clip(np.where(chosen < 0, chosen + extent, chosen), 0, extent - 1), axis=axis)


def _stored_table(data: Tensor, y: Tensor, build: Builder) -> Tensor:
    """A constant table at the output's type, scale and zero point: the same values as quantising the output."""
    if (data.dtype, data.quant) == (y.dtype, y.quant):
        return data
    if y.quant is None:
        assert data.value is not None
        return build.constant(data.name, data.value.astype(np.dtype(y.dtype)))
    stored = np.clip(np.rint(real_value(data) / y.scale) + y.zero_point, -128, 127)
    return build.constant(data.name, stored.astype(np.int8), Quant.per_tensor(y.scale, y.zero_point))


def _counted_from_zero(node: OnnxNode, indices: Array, extent: int) -> Array:
    chosen = indices.astype(np.int64)
    if chosen.size == 0 or chosen.min() < -extent or chosen.max() >= extent:
        raise UsageError(
            f"Gather node {node.name!r} picks {sorted(set(chosen.reshape(-1).tolist()))[:4]} of {extent} slices"
        )
    return np.where(chosen < 0, chosen + extent, chosen)


def _common_step(chosen: Array) -> int | None:
    """The difference between neighbours of an arithmetic progression, 1 for a single element; None otherwise."""
    steps = set(np.diff(chosen).tolist()) or {1}
    return int(steps.pop()) if len(steps) == 1 and 0 not in steps else None


OPERATOR = Gather()
