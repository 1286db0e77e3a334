"""Reductions and softmax: over dimensions that hold no channels they keep them, over channels they freeze."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _dims(call: Call, rank: int) -> list[int]:
    dims = call.arguments["dim"]
    if dims is None:
        return list(range(rank))
    return sorted({dim % rank for dim in (dims if isinstance(dims, (list, tuple)) else [dims])})


def _reduced(call: Call, labels: Labels) -> Output:
    """The output has the channels of any one slice along the dimensions reduced."""
    value = labels.of(call.operands()[0])
    for dim in _dims(call, value.dim()):
        if labels.varies(value, dim):
            raise Uncoupled("it combines all channels")
        value = value.narrow(dim, 0, 1)
    if not isinstance(call.output, tuple):
        raise Uncoupled("it returns several values")
    return value.reshape(call.output).clone()


def _softmax(call: Call, labels: Labels) -> Output:
    """Softmax, elementwise where it does not run along channels."""
    value: torch.Tensor = labels.of(call.operand("self"))
    if labels.varies(value, int(call.arguments["dim"])):
        labels.freeze(value, f"{call.target} {call.name!r} runs along them")
    return value


RULES = {
    "aten.mean.dim": _reduced,
    "aten.sum.dim_IntList": _reduced,
    "aten.amax.default": _reduced,
    "aten.amin.default": _reduced,
    "aten.softmax.int": _softmax,
    "aten.log_softmax.int": _softmax,
    "aten._softmax.default": _softmax,
}
