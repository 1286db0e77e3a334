"""Fully connected layers."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call, Operand

__all__ = ["RULES"]


def _linear(call: Call, labels: Labels) -> Output:
    """Weights are [out, in]; channels are the last dimension."""
    weight, value = call.operand("weight"), labels.of(call.operand("input"))
    if not labels.varies(value, -1) and any(labels.varies(value, dim) for dim in range(value.dim())):
        return _for_each_channel(call, labels, value)
    inputs = labels.column(value, -1)
    packed = labels.packed(weight)
    if packed is not None:
        return _some_rows(call, labels, packed, inputs)
    outputs = labels.fresh(weight.shape[0])
    labels.piece(weight, 0, outputs, "produces")
    labels.piece(weight, 1, inputs, "consumes")
    labels.piece(call.optional("bias"), 0, outputs, "produces")
    labels.layer(weight, inputs, outputs)
    return spread(outputs, -1, call.output)


def _for_each_channel(call: Call, labels: Labels, value: torch.Tensor) -> Output:
    """A layer that mixes tokens, once for each channel: channels pass through, its own outputs stay."""
    outputs = labels.fresh(call.operand("weight").shape[0])
    labels.freeze(
        outputs, f"{call.target} in {call.layer or 'forward'!r} is applied to each of several channels"
    )
    labels.piece(call.operand("weight"), 0, outputs, "produces")
    return value[..., :1].expand(call.output).clone()


def _some_rows(call: Call, labels: Labels, packed: Operand, inputs: torch.Tensor) -> Output:
    """A layer whose weights are some of the rows of a parameter."""
    outputs = labels.of(call.operand("weight"))[:, 0]
    labels.piece(packed, 1, inputs, "consumes")
    bias = call.optional("bias")
    if bias is not None and labels.packed(bias) is not None:
        labels.tie(labels.of(bias), outputs)
    else:
        labels.piece(bias, 0, outputs, "produces")
    return spread(outputs, -1, call.output)


RULES = {"aten.linear.default": _linear}
