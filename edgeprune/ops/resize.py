"""Resize of an image by nearest neighbour; Upsample too. Mode linear lowers to ResizeLinear.

Inputs x [N, H, W, C]; attributes rows and columns: for each output row (column), the input row (column) it
repeats. They are worked out from ONNX's coordinate modes once, at lowering.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._layout import with_axis_last
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._positions import NEAREST_MODES, linear_weights, nearest_indices, positions
from edgeprune.ops._values import normalized_axis
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Resize"]


@dataclass(frozen=True)
class _Axis:
    """Elements of the input and the output along an axis, and their ratio where the model states it."""

    length: int
    resized: int
    scale: float | None


class Resize(DataMovement):
    """y[n, i, j, c] = x[n, rows[i], columns[j], c]."""

    name = "Resize"
    onnx_types = ("Resize", "Upsample")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        mode = str(node.attrs.get("mode", "nearest"))
        if mode not in ("nearest", "linear") or node.attrs.get("antialias", 0):
            raise UsageError(
                f"{node.op_type} node {node.name!r} has mode {mode!r}; nearest and linear without antialias "
                "are supported"
            )
        if str(node.attrs.get("keep_aspect_ratio_policy", "stretch")) != "stretch":
            raise UsageError(
                f"Resize node {node.name!r} keeps the aspect ratio; give it the final sizes instead"
            )
        rank = len(x.shape)
        if rank not in (3, 4) or x.shape[:2] != y.shape[:2]:
            raise UsageError(
                f"{node.op_type} node {node.name!r} turns shape {x.shape} into {y.shape}; "
                "only the height and width of [N, C, H, W] and the length of [N, C, L] can change"
            )
        scales = _scales(node, rank)
        axes = [_Axis(x.shape[axis], y.shape[axis], scales[axis]) for axis in range(2, rank)]
        rows, columns = [_Axis(1, 1, None), *axes] if rank == 3 else axes
        op, attrs = _linear(node, rows, columns) if mode == "linear" else _nearest(node, rows, columns)

        def emit(moved: Tensor, result: Tensor) -> None:
            if rank == 4:
                build.add(op, node.name, [moved], [result], attrs)
                return
            n, length, channels = moved.shape
            image = build.tensor(y.name, (n, 1, columns.resized, channels), y.dtype, y.quant)
            build.add(op, node.name, [build.reshape(moved, (n, 1, length, channels))], [image], attrs)
            build.reshape(image, result.shape, output=result)

        with_axis_last(build, x, y, 1, emit)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        n, height, width, channels = node.inputs[0].shape
        rows, columns = node.ints("rows"), node.ints("columns")
        if not (0 <= min(rows) <= max(rows) < height and 0 <= min(columns) <= max(columns) < width):
            raise ValueError(f"rows or columns are outside the input of shape {node.inputs[0].shape}")
        return ((n, len(rows), len(columns), channels),)

    def move(self, node: Node, *inputs: Array) -> Array:
        return inputs[0][:, node.ints("rows")][:, :, node.ints("columns")]


def _scales(node: OnnxNode, rank: int) -> list[float | None]:
    """The scale of each axis, None where output size over input size is meant."""
    if node.op_type == "Upsample" and node.input(1) is None:
        given = np.array(node.attrs.get("scales", ()))
    else:
        index = 1 if node.op_type == "Upsample" or node.opset < 11 else 2
        absent = node.input(index) is None
        given = np.zeros(0) if absent else node.constant(index, "scales").reshape(-1)
    axes = node.attrs.get("axes") or range(rank)
    scales: list[float | None] = [None] * rank
    for axis, scale in zip(axes, given, strict=False):
        scales[normalized_axis(node, int(axis), rank)] = float(scale)
    return scales


def _positions(node: OnnxNode, axis: _Axis) -> Array:
    coordinates = "half_pixel"
    if _is_legacy(node):
        coordinates = "asymmetric"
    elif "coordinate_transformation_mode" in node.attrs:
        coordinates = str(node.attrs["coordinate_transformation_mode"])
    try:
        return positions(axis.length, axis.resized, axis.scale, coordinates)
    except KeyError:
        raise UsageError(
            f"Resize node {node.name!r} has the unsupported coordinate mode {coordinates!r}"
        ) from None


def _is_legacy(node: OnnxNode) -> bool:
    """Whether the node is of an opset without coordinate modes."""
    return node.op_type == "Upsample" or node.opset < 11


def _nearest(node: OnnxNode, rows: _Axis, columns: _Axis) -> tuple[str, Attributes]:
    indices = [
        nearest_indices(_positions(node, axis), axis.length, _rounding(node, axis))
        for axis in (rows, columns)
    ]
    return "Resize", {"rows": indices[0], "columns": indices[1]}


def _rounding(node: OnnxNode, axis: _Axis) -> str:
    """The node's nearest_mode; opsets without one round as ONNX Runtime does."""
    if _is_legacy(node):
        return "ceil" if (axis.scale or axis.resized / axis.length) < 1 else "floor"
    rounding = str(node.attrs.get("nearest_mode", "round_prefer_floor"))
    if rounding not in NEAREST_MODES:
        raise UsageError(f"Resize node {node.name!r} has the unknown nearest_mode {rounding!r}")
    return rounding


def _linear(node: OnnxNode, rows: _Axis, columns: _Axis) -> tuple[str, Attributes]:
    row, row_weights = linear_weights(_positions(node, rows), rows.length)
    column, column_weights = linear_weights(_positions(node, columns), columns.length)
    return "ResizeLinear", {
        "rows": row,
        "row_weights": row_weights,
        "columns": column,
        "column_weights": column_weights,
    }


OPERATOR = Resize()
