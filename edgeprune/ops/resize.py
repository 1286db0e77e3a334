"""Resize of an image by nearest neighbour; Upsample too.

Inputs x [N, H, W, C]; attributes rows and columns: for each output row (column), the input row (column) it
repeats. They are worked out from ONNX's coordinate modes once, at lowering, in float32 as ONNX Runtime does.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Shape, Tensor
from edgeprune.ops._layout import with_axis_last
from edgeprune.ops._movement import DataMovement
from edgeprune.ops._values import normalized_axis
from edgeprune.ops.base import OnnxNode

__all__ = ["OPERATOR", "Resize", "nearest_indices"]


class Resize(DataMovement):
    """y[n, i, j, c] = x[n, rows[i], columns[j], c]."""

    name = "Resize"
    onnx_types = ("Resize", "Upsample")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        mode = str(node.attrs.get("mode", "nearest"))
        if mode != "nearest":
            raise UsageError(
                f"{node.op_type} node {node.name!r} has mode {mode!r}; only nearest is supported"
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
        indices = [_axis_indices(node, x.shape[axis], y.shape[axis], scales[axis]) for axis in range(2, rank)]
        rows, columns = [(0,), *indices] if rank == 3 else indices
        attrs = {"rows": rows, "columns": columns}

        def emit(moved: Tensor, result: Tensor) -> None:
            if rank == 4:
                build.add(self.name, node.name, [moved], [result], attrs)
                return
            n, length, channels = moved.shape
            image = build.tensor(y.name, (n, 1, len(columns), channels), y.dtype, y.quant)
            build.add(self.name, node.name, [build.reshape(moved, (n, 1, length, channels))], [image], attrs)
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


def _axis_indices(node: OnnxNode, length: int, resized: int, scale: float | None) -> tuple[int, ...]:
    legacy = node.op_type == "Upsample" or node.opset < 11
    if legacy:
        coordinates, nearest = "asymmetric", "simple"
    else:
        coordinates = str(node.attrs.get("coordinate_transformation_mode", "half_pixel"))
        nearest = str(node.attrs.get("nearest_mode", "round_prefer_floor"))
    try:
        return nearest_indices(length, resized, scale, coordinates, nearest)
    except KeyError as error:
        raise UsageError(f"Resize node {node.name!r} has the unsupported mode {error.args[0]!r}") from None


def nearest_indices(
    length: int, resized: int, scale: float | None, coordinates: str, nearest: str
) -> tuple[int, ...]:
    """The input index of each of `resized` outputs along an axis of `length`.

    Args:
        length: elements of the input.
        resized: elements of the output.
        scale: resized / length as the model states it; None to compute it.
        coordinates: ONNX's coordinate_transformation_mode.
        nearest: ONNX's nearest_mode, or "simple": what ONNX Runtime does in opsets that have no such mode.

    Raises:
        KeyError: an unknown mode; its argument is the mode.
    """
    i, ratio = np.arange(resized, dtype=np.float32), np.float32(scale or resized / length)
    half = np.float32(0.5)
    if resized == length and ratio == 1:
        return tuple(range(length))
    if coordinates == "asymmetric":
        position = i / ratio
    elif coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and resized > 1):
        position = (i + half) / ratio - half
    elif coordinates == "pytorch_half_pixel" or (coordinates == "align_corners" and resized == 1):
        position = np.zeros_like(i)
    elif coordinates == "align_corners":
        position = i * np.float32(length - 1) / np.float32(resized - 1)
    elif coordinates == "half_pixel_symmetric":
        adjustment = np.float32(resized) / (ratio * np.float32(length))
        position = np.float32(length / 2) * (1 - adjustment) + (i + half) / ratio - half
    elif coordinates == "tf_half_pixel_for_nn":
        position = (i + half) / ratio
    else:
        raise KeyError(coordinates)
    roundings = {
        "round_prefer_floor": np.ceil(position - half),
        "round_prefer_ceil": np.floor(position + half),
        "floor": np.floor(position),
        "ceil": np.ceil(position),
        "simple": np.ceil(position) if ratio < 1 else np.trunc(position),
    }
    return tuple(int(index) for index in np.clip(roundings[nearest], 0, length - 1))


OPERATOR = Resize()
