"""Normalisations: per channel they follow it; across channels they would change when one goes."""

from __future__ import annotations

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _per_channel(call: Call, labels: Labels) -> Output:
    """Batch and instance normalisation: statistics and scales of a channel are its own; channels are dim 1."""
    value = labels.of(call.operand("input"))
    channels = labels.column(value, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        labels.piece(call.optional(name), 0, channels, "follows")
    return value


def _layer_norm(call: Call, labels: Labels) -> Output:
    """Mean and variance run over the last dimensions: removing one channel would change all others."""
    value = labels.of(call.operand("input"))
    rank = len(call.arguments["normalized_shape"])
    for dim in range(value.dim() - rank, value.dim()):
        if labels.varies(value, dim):
            labels.freeze(value, f"layer normalisation {call.layer!r} averages over them")
    return value


def _group_norm(call: Call, labels: Labels) -> Output:
    """Mean and variance run over a group's channels; one channel a group is instance normalisation."""
    value = labels.of(call.operand("input"))
    if int(call.arguments["num_groups"]) == value.shape[1]:
        labels.freeze(value, f"group normalisation {call.layer!r} has a fixed number of groups")
    else:
        labels.freeze(value, f"group normalisation {call.layer!r} averages over them")
    return value


RULES = {
    "aten.batch_norm.default": _per_channel,
    "aten.instance_norm.default": _per_channel,
    "aten.layer_norm.default": _layer_norm,
    "aten.group_norm.default": _group_norm,
}
