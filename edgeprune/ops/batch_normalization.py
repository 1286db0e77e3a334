"""BatchNormalization that no convolution before it could absorb: a depthwise 1x1 Conv.

It has no IR form of its own. Per channel y = w * x + b with w = scale / sqrt(variance + epsilon) and
b = B - mean * w. A channel has a single weight, so its stored weight is +-127 at scale |w| / 127, exact; where b
would not fit int32 at that scale, the weight's scale is as large as it must be.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, AttributeValue, Quant, Tensor
from edgeprune.ops._layout import with_axis_last
from edgeprune.ops._values import real_value
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "BatchNormalization"]

_BIAS_LIMIT = float(1 << 30)


class BatchNormalization(Operator):
    """y = scale * (x - mean) / sqrt(variance + epsilon) + B per channel, with running statistics."""

    name = "BatchNormalization"
    onnx_types = ("BatchNormalization",)

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        if node.attrs.get("training_mode", 0):
            raise UsageError(
                f"BatchNormalization node {node.name!r} is in training mode; export the network for inference"
            )
        weights, bias = _weights(node, x, build)
        channels = x.shape[1]
        attrs: dict[str, AttributeValue] = {
            "strides": (1, 1),
            "pads": (0, 0, 0, 0),
            "dilations": (1, 1),
            "group": channels,
            "clamp": (-128, 127),
        }

        def emit(moved: Tensor, result: Tensor) -> None:
            rows = moved.shape[1] if len(moved.shape) >= 4 else 1
            image = (moved.shape[0], rows, moved.elements // (moved.shape[0] * rows * channels), channels)
            if moved.shape == image:
                build.add("Conv", node.name, [moved, weights, bias], [result], attrs)
                return
            normalized = build.tensor(y.name, image, y.dtype, y.quant)
            build.add("Conv", node.name, [build.reshape(moved, image), weights, bias], [normalized], attrs)
            build.reshape(normalized, result.shape, output=result)

        with_axis_last(build, x, y, 1, emit)


def _weights(node: OnnxNode, x: Tensor, build: Builder) -> tuple[Tensor, Tensor]:
    """Weights [C, 1, 1, 1] int8 and bias [C] int32 of the depthwise Conv."""
    names = ("scale", "bias", "mean", "variance")
    scale, offset, mean, variance = (
        real_value(node.required(index), node.constant(index, name)) for index, name in enumerate(names, 1)
    )
    w = scale / np.sqrt(variance + float(node.attrs.get("epsilon", 1e-5)))
    b = offset - mean * w
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise UsageError(f"BatchNormalization node {node.name!r} has statistics that are not finite numbers")
    if x.quant is None:
        raise UsageError(f"the input of BatchNormalization node {node.name!r} is not quantised")
    scales = np.maximum(np.abs(w) / 127, np.abs(b) / (x.scale * _BIAS_LIMIT))
    scales = np.where(scales > 0, scales, 1.0)
    stored = np.rint(w / scales).astype(np.int8).reshape(-1, 1, 1, 1)
    bias = np.rint(b / (x.scale * scales)).astype(np.int32)
    weights = build.constant(f"{node.name}.weight", stored, _per_channel(scales))
    return weights, build.constant(f"{node.name}.bias", bias, _per_channel(x.scale * scales))


def _per_channel(scales: Array) -> Quant:
    return Quant(tuple(float(scale) for scale in scales), (0,) * len(scales), 0)


OPERATOR = BatchNormalization()
