"""Fully connected layers."""

from __future__ import annotations

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _linear(call: Call, labels: Labels) -> Output:
    """Weights are [out, in]; channels are the last dimension."""
    weight = call.operand("weight")
    inputs = labels.column(labels.of(call.operand("input")), -1)
    outputs = labels.fresh(weight.shape[0])
    labels.piece(weight, 0, outputs, "produces")
    labels.piece(weight, 1, inputs, "consumes")
    labels.piece(call.optional("bias"), 0, outputs, "produces")
    labels.layer(weight, inputs, outputs)
    return spread(outputs, -1, call.output)


RULES = {"aten.linear.default": _linear}
