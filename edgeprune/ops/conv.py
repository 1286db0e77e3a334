"""Conv: two-dimensional convolution of int8 images, with groups, strides, dilations and asymmetric padding.

Inputs x [N, H, W, C] int8, w [out, kh, kw, C / group] int8 (or int16 within [-255, 255]), b [out] int32;
attributes strides (height, width), pads (top, left, bottom, right), dilations, group, clamp (low, high).
Depthwise is group == C.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, AttributeValue, Node, Shape, Tensor
from edgeprune.ops._convolution import check_weighted, conv_geometry, correlate, requantize_channels
from edgeprune.ops._weights import quantized_weights, weights_and_bias
from edgeprune.ops._windows import in_channel_last, spatial_rank, window
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "Conv"]


class Conv(Operator):
    """y = clamp(requantise(b + sum w * (x - zero point)))."""

    name = "Conv"
    onnx_types = ("Conv", "QLinearConv")

    def lower(self, node: OnnxNode, build: Builder) -> None:
        where = f"{node.op_type} node {node.name!r}"
        signal = spatial_rank(node) == 1
        weights = quantized_weights(node, 1)
        if len(weights.shape) != len(node.required(0).shape):
            raise UsageError(f"the weights of {where} have the wrong number of axes")
        if signal:
            out, channels, width = weights.shape
            weights = build.reshape(weights, (out, channels, 1, width))
        w = build.transpose(weights, (0, 2, 3, 1))
        frame = window(node, (w.shape[1], w.shape[2]))
        group = int(node.attrs.get("group", 1))
        if w.shape[3] * group != node.required(0).shape[1] or w.shape[0] % group:
            raise UsageError(f"the weights of {where} do not fit its input's channels")
        w, b = weights_and_bias(node, 2, node.required(0), w, build)
        attrs: dict[str, AttributeValue] = {
            "strides": frame.strides,
            "pads": frame.pads,
            "dilations": frame.dilations,
            "group": group,
            "clamp": (-128, 127),
        }

        def emit(x: Tensor, y: Tensor) -> None:
            build.add(self.name, node.name, [x, w, b], [y], attrs)

        shape = node.outputs[0].shape
        out_shape = (shape[0], 1, shape[2], shape[1]) if signal else (shape[0], shape[2], shape[3], shape[1])
        in_channel_last(node, build, out_shape, emit)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        g = conv_geometry(node)
        return ((g.batch, g.out_height, g.out_width, g.out_channels),)

    def check(self, node: Node) -> None:
        check_weighted(node)

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        sums = correlate(x.astype(np.int32) - node.inputs[0].zero_point, w, conv_geometry(node))
        return (requantize_channels(node, sums.astype(np.int64) + b.astype(np.int64)),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, b = inputs
        return (correlate(x, w, conv_geometry(node)) + b,)

    def macs(self, node: Node) -> int:
        return conv_geometry(node).macs


OPERATOR = Conv()
