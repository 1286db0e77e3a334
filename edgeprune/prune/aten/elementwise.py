"""Operators that work element by element: operands' channels are tied, broadcasting understood."""

from __future__ import annotations

import numpy as np
import torch

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _elementwise(call: Call, labels: Labels) -> Output:
    """Tie the operands where they meet; the output carries the channels of those that are not broadcast."""
    values = [labels.of(operand) for operand in call.operands() if operand in labels]
    result = values[0]
    for value in values[1:]:
        result = _meet(labels, result, value, call)
    return result.expand(call.output).clone()


def _meet(labels: Labels, left: torch.Tensor, right: torch.Tensor, call: Call) -> torch.Tensor:
    shape = np.broadcast_shapes(left.shape, right.shape)
    rank = len(shape)
    wide_left, wide_right = (
        side.reshape([1] * (rank - side.dim()) + list(side.shape)) for side in (left, right)
    )
    left_spans = _spans_channels(labels, wide_left, wide_right)
    right_spans = _spans_channels(labels, wide_right, wide_left)
    if left_spans and right_spans:
        raise Uncoupled("it pairs every channel with every other")
    if left_spans or right_spans:
        narrow, whole = (wide_left, wide_right) if left_spans else (wide_right, wide_left)
        reason = f"{call.target} {call.name!r} applies them to several channels"
        labels.freeze(narrow, reason)
        if any(narrow.shape[dim] > 1 and labels.varies(whole, dim) for dim in range(rank)):
            labels.freeze(whole, reason)
        return whole.expand(shape)
    labels.tie(wide_left.expand(shape), wide_right.expand(shape))
    return wide_left.expand(shape)


def _spans_channels(labels: Labels, narrow: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether one element of `narrow` is applied to several channels of `other`."""
    return any(
        narrow.shape[dim] == 1 and other.shape[dim] > 1 and labels.varies(other, dim)
        for dim in range(narrow.dim())
    )


def _prelu(call: Call, labels: Labels) -> Output:
    """One slope for all, or one per channel (dim 1)."""
    value, slope = labels.of(call.operand("self")), call.operand("weight")
    if slope.shape[0] > 1:
        labels.piece(slope, 0, labels.column(value, 1 if value.dim() > 1 else 0), "follows")
    return value


_UNARY = (
    "abs acos asin atan ceil celu clamp cos elu erf exp expm1 floor gelu hardshrink hardsigmoid hardswish "
    "hardtanh leaky_relu log log1p log_sigmoid logical_not logit mish neg reciprocal relu relu6 round rsqrt "
    "selu sigmoid sign silu sin softplus softshrink softsign sqrt square tan tanh threshold trunc "
    "dropout feature_dropout alpha_dropout clone contiguous detach alias positive"
)
_SCALAR = "add sub mul div pow rsub remainder fmod eq ne lt le gt ge"
_BINARY = "add sub mul div maximum minimum pow where atan2 eq ne lt le gt ge logical_and logical_or"

RULES = {
    **{f"aten.{name}{suffix}.default": _elementwise for name in _UNARY.split() for suffix in ("", "_")},
    **{f"aten.{name}{suffix}.Scalar": _elementwise for name in _SCALAR.split() for suffix in ("", "_")},
    **{f"aten.{name}{suffix}.Tensor": _elementwise for name in _BINARY.split() for suffix in ("", "_")},
    **{f"aten.{name}.default": _elementwise for name in _BINARY.split()},
    "aten.pow.Tensor_Scalar": _elementwise,
    "aten.pow.Tensor_Tensor": _elementwise,
    "aten.where.self": _elementwise,
    "aten.clamp.Tensor": _elementwise,
    "aten.to.dtype": _elementwise,
    "aten.to.dtype_layout": _elementwise,
    "aten._to_copy.default": _elementwise,
    "aten.prelu.default": _prelu,
}
