"""Reductions and softmax: over channels, a reduction runs over those that stay; softmax freezes them."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES", "reduced_dims"]


def reduced_dims(call: Call, rank: int) -> list[int]:
    """The dimensions that a reduction runs over, ascending from 0."""
    dims = call.arguments.get("dim")
    if dims is None or dims == []:
        return list(range(rank))
    return sorted({dim % rank for dim in (dims if isinstance(dims, (list, tuple)) else [dims])})


def _reduced(call: Call, labels: Labels) -> Output:
    """The output has the channels that the dimensions left distinguish."""
    value = labels.of(call.operands()[0])
    if not isinstance(call.output, tuple):
        raise Uncoupled("it returns several values")
    dims = reduced_dims(call, value.dim())
    over_channels = any(labels.varies(value, dim) for dim in dims)
    if over_channels:
        if any(labels.varies(value, dim) for dim in range(value.dim()) if dim not in dims):
            raise Uncoupled("it combines some of the channels, others it keeps")
        labels.count(value)
        statistic = labels.fresh(1)
        labels.freeze(statistic, f"{call.target} {call.name!r} makes it of several channels")
        return statistic.expand(call.output).clone()
    for dim in dims:
        value = value.narrow(dim, 0, 1)
    return value.reshape(call.output).clone()


def _softmax(call: Call, labels: Labels) -> Output:
    """Softmax, elementwise where it does not run along channels."""
    value: torch.Tensor = labels.of(call.operand("self"))
    if labels.varies(value, int(call.arguments["dim"])):
        labels.freeze(value, f"{call.target} {call.name!r} runs along them")
    return value


RULES = {
    "aten.mean.default": _reduced,
    "aten.mean.dim": _reduced,
    "aten.sum.default": _reduced,
    "aten.sum.dim_IntList": _reduced,
    "aten.amax.default": _reduced,
    "aten.amin.default": _reduced,
    "aten.var.correction": _reduced,
    "aten.var.dim": _reduced,
    "aten.softmax.int": _softmax,
    "aten.log_softmax.int": _softmax,
    "aten._softmax.default": _softmax,
}
