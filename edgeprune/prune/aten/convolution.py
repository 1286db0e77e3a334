"""Convolutions and transposed convolutions of any rank, grouped and depthwise."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _convolution(call: Call, labels: Labels) -> Output:
    """Weights are [out, in / groups, *kernel]."""
    weight, groups = call.operand("weight"), int(call.arguments["groups"])
    axis = 1 - len(weight.shape)
    inputs = labels.column(labels.of(call.operand("input")), axis)
    outputs = _outputs(labels, inputs, weight.shape[0], groups)
    labels.piece(weight, 0, outputs, "produces")
    labels.piece(call.optional("bias"), 0, outputs, "produces")
    if weight.shape[1] > 1 or groups == 1:
        labels.piece(weight, 1, inputs[: weight.shape[1]], "consumes")
    labels.layer(weight, inputs, outputs)
    return spread(outputs, axis, call.output)


def _transposed(call: Call, labels: Labels) -> Output:
    """Weights are [in, out / groups, *kernel]."""
    weight, groups = call.operand("weight"), int(call.arguments["groups"])
    axis = 1 - len(weight.shape)
    inputs = labels.column(labels.of(call.operand("input")), axis)
    outputs = _outputs(labels, inputs, weight.shape[1] * groups, groups)
    if groups == len(inputs) and groups > 1:
        labels.piece(weight, 0, inputs, "produces")
    else:
        labels.piece(weight, 0, inputs, "consumes")
        labels.piece(weight, 1, outputs[: weight.shape[1]], "produces")
    labels.piece(call.optional("bias"), 0, outputs, "produces")
    labels.layer(weight, inputs, outputs)
    return spread(outputs, axis, call.output)


def _outputs(labels: Labels, inputs: torch.Tensor, count: int, groups: int) -> torch.Tensor:
    """The output channels: new ones, tied to the inputs in a depthwise layer, across groups in a grouped one.

    A depthwise layer loses whole groups; any other keeps its number of groups and narrows each alike.
    """
    if groups > 1 and groups == len(inputs):
        return inputs.repeat_interleave(count // groups)
    outputs = labels.fresh(count)
    if groups > 1:
        labels.tie_copies(inputs, groups)
        labels.tie_copies(outputs, groups)
    return outputs


RULES = {
    "aten.conv1d.default": _convolution,
    "aten.conv2d.default": _convolution,
    "aten.conv3d.default": _convolution,
    "aten.conv1d.padding": _convolution,
    "aten.conv2d.padding": _convolution,
    "aten.conv3d.padding": _convolution,
    "aten.conv_transpose1d.default": _transposed,
    "aten.conv_transpose2d.input": _transposed,
    "aten.conv_transpose3d.input": _transposed,
}
