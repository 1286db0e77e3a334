"""MaxPool: the largest element of each window; padding never wins. Scale and zero point are the input's.

Input x [N, H, W, C] int8; attributes kernel, strides, dilations (height, width), pads (top, left, bottom, right).
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Node, Shape
from edgeprune.ops._pooling import lower_pool, lowered_window, pool_geometry, pool_windows
from edgeprune.ops._windows import Window, spatial_rank
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "MaxPool"]


class MaxPool(Operator):
    """y = max over the window of x."""

    name = "MaxPool"
    onnx_types = ("MaxPool", "GlobalMaxPool")
    keeps_quant = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        if len(node.outputs) > 1 and node.outputs[1].name:
            raise UsageError(f"MaxPool node {node.name!r} returns indices, which is not supported")
        if node.op_type == "GlobalMaxPool":
            spatial_rank(node)
            height, width = (1, *node.required(0).shape[2:])[-2:]
            frame = Window((height, width), (1, 1), (1, 1), (0, 0, 0, 0), (0, 0))
        else:
            frame = lowered_window(node)
        lower_pool(self.name, node, build, frame, {})

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        g = pool_geometry(node)
        return ((g.batch, g.out_height, g.out_width, g.out_channels),)

    def check(self, node: Node) -> None:
        if node.inputs[0].dtype != "int8" or node.output.dtype != "int8":
            raise ValueError("takes int8 to int8")

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (pool_windows(inputs[0], pool_geometry(node), -128).max(axis=(4, 5)),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (pool_windows(inputs[0].astype(np.float64), pool_geometry(node), -np.inf).max(axis=(4, 5)),)


OPERATOR = MaxPool()
