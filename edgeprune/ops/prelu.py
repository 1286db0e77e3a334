"""PRelu with a constant slope: one for the tensor (then it is a LeakyRelu) or one per channel.

Inputs x [..., C] int8 and slope [C] float32, channel-last. Definition on stored integers, with q = x - zero_x:

    y = clamp(zero_y + (q * m + 2**(s - 1) >> s)),  m = multiplier[0] for q >= 0, multiplier[1 + c] below

where multipliers are round(scale_x / scale_y * (1, slope) * 2**s) and s is the largest shift up to 30 at which
their magnitudes stay below 2**22. With |q| <= 255 the sum stays below 255 * 2**22 + 2**29 < 2**31, so int32 is
enough.
"""

from __future__ import annotations

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Shape, Tensor
from edgeprune.ops._fixed_point import clamp_int8
from edgeprune.ops._layout import keeps_last_axis, with_axis_last
from edgeprune.ops._values import real_value
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "PRelu"]

_MULTIPLIER_LIMIT = 1 << 22


class PRelu(Operator):
    """y = x for x >= 0, slope[c] * x below."""

    name = "PRelu"
    onnx_types = ("PRelu",)
    broadcasts = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        slope = real_value(node.required(1), node.constant(1, "slope"))
        if slope.size == 1:
            build.add("LeakyRelu", node.name, [x], [y], {"alpha": float(slope.reshape(()))})
            return
        rank = len(x.shape)
        per_axis = (1,) * (rank - slope.ndim) + slope.shape
        if rank < 2 or per_axis != (1, x.shape[1], *(1,) * (rank - 2)):
            raise UsageError(
                f"PRelu node {node.name!r} has a slope of shape {slope.shape} for an input of shape {x.shape}; "
                "it must be one number, or one per channel"
            )
        values = build.constant(f"{node.name}.slope", slope.reshape(-1).astype(np.float32))

        def emit(moved: Tensor, result: Tensor) -> None:
            build.add(self.name, node.name, [moved, values], [result])

        with_axis_last(build, x, y, 1, emit)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        x, slope = node.inputs
        if slope.shape != x.shape[-1:]:
            raise ValueError(f"slope of shape {slope.shape} for an input of shape {x.shape}")
        return (x.shape,)

    def arithmetic(self, node: Node, slope: Array) -> tuple[Array, int]:
        """The multipliers (int32 [1 + C], that of x >= 0 first) and their shift."""
        ratio = node.inputs[0].scale / node.output.scale
        real = ratio * np.concatenate([[1.0], slope.astype(np.float64)])
        shift = 30
        while shift > 0 and np.abs(np.rint(real * 2.0**shift)).max() >= _MULTIPLIER_LIMIT:
            shift -= 1
        return np.rint(real * 2.0**shift).astype(np.int32), shift

    def check(self, node: Node) -> None:
        slope = node.inputs[1].value
        if slope is None or not np.isfinite(slope).all():
            raise ValueError("the slope must be a finite constant")
        ratio = node.inputs[0].scale / node.output.scale
        if ratio * max(1.0, float(np.abs(slope).max())) >= _MULTIPLIER_LIMIT - 1:
            raise ValueError("the input's scale is more than 2**22 times the output's")

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        multipliers, shift = self.arithmetic(node, inputs[1])
        q = inputs[0].astype(np.int64) - node.inputs[0].zero_point
        product = q * np.where(q >= 0, multipliers[0], multipliers[1:]).astype(np.int64)
        return (clamp_int8(((product + ((1 << shift) >> 1)) >> shift) + node.output.zero_point),)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return (np.where(inputs[0] >= 0.0, inputs[0], inputs[0] * inputs[1]),)

    def permute(self, node: Node, perm: tuple[int, ...]) -> Attributes | None:
        return keeps_last_axis(node, perm)


OPERATOR = PRelu()
