"""AveragePool: the mean of each window, over the elements inside the image or over padding too.

Input x [N, H, W, C] int8; attributes kernel, strides, dilations (height, width), pads (top, left, bottom, right),
overhang (bottom, right: the part of the pads that ceil_mode added, which never counts), count_include_pad
(0 or 1), clamp (low, high). Rounding is defined in `_pooling`.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, AttributeValue, Node, Shape
from edgeprune.ops._pooling import (
    check_mean,
    lower_pool,
    lowered_window,
    pool_geometry,
    pool_windows,
    requantized_mean,
)
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "AveragePool"]


class AveragePool(Operator):
    """y = clamp(mean over the window of x)."""

    name = "AveragePool"
    onnx_types = ("AveragePool", "QLinearAveragePool")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        frame = lowered_window(node)
        included = int(node.attrs.get("count_include_pad", 0))
        more: dict[str, AttributeValue] = {
            "overhang": frame.overhang,
            "count_include_pad": included,
            "clamp": (-128, 127),
        }
        lower_pool(self.name, node, build, frame, more)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        g = pool_geometry(node)
        return ((g.batch, g.out_height, g.out_width, g.out_channels),)

    def axis_counts(self, node: Node) -> tuple[Array, Array]:
        """How many rows each output row averages, and how many columns each output column."""
        g = pool_geometry(node)
        included = node.int("count_include_pad")
        below, beside = node.ints("overhang")
        rows = np.arange(g.out_height)[:, None] * g.stride_height - g.pad_top
        rows = rows + np.arange(g.kernel_height) * g.dilation_height
        columns = np.arange(g.out_width)[:, None] * g.stride_width - g.pad_left
        columns = columns + np.arange(g.kernel_width) * g.dilation_width
        if included:
            return (
                (rows < g.in_height + g.pad_bottom - below).sum(axis=1),
                (columns < g.in_width + g.pad_right - beside).sum(axis=1),
            )
        return (
            ((rows >= 0) & (rows < g.in_height)).sum(axis=1),
            ((columns >= 0) & (columns < g.in_width)).sum(axis=1),
        )

    def check(self, node: Node) -> None:
        g = pool_geometry(node)
        check_mean(node, g.kernel_height * g.kernel_width)
        rows, columns = self.axis_counts(node)
        if min(rows.min(), columns.min()) < 1:
            raise ValueError("a window lies outside the image")

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        centred = inputs[0].astype(np.int64) - node.inputs[0].zero_point
        sums = pool_windows(centred, pool_geometry(node), 0).sum(axis=(4, 5))
        return (requantized_mean(node, sums, self._counts(node)),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        sums = pool_windows(inputs[0].astype(np.float64), pool_geometry(node), 0).sum(axis=(4, 5))
        return (sums / self._counts(node),)

    def _counts(self, node: Node) -> Array:
        """[out height, out width, 1]."""
        rows, columns = self.axis_counts(node)
        return np.multiply.outer(rows, columns)[..., None]


OPERATOR = AveragePool()
