"""Normalisations: per channel they follow it; across channels their statistics run over those that stay."""

from __future__ import annotations

from edgeprune.prune.aten.rule import Output
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _per_channel(call: Call, labels: Labels) -> Output:
    """Batch and instance normalisation: statistics and scales of a channel are its own; channels are dim 1."""
    value = labels.of(call.operand("input"))
    channels = labels.column(value, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        labels.piece(call.optional(name), 0, channels, "follows")
    return value


def _over_last_dims(call: Call, labels: Labels) -> Output:
    """Layer normalisation, and that by the root mean square: scales have the shape of what is averaged over."""
    value = labels.of(call.operand("input"))
    rank = len(call.arguments["normalized_shape"])
    averaged = [dim for dim in range(value.dim() - rank, value.dim()) if labels.varies(value, dim)]
    if len(averaged) > 1:
        raise Uncoupled("it averages over channels along several dimensions")
    for dim in averaged:
        labels.count(value)
        for name in ("weight", "bias"):
            if call.optional(name) is not None:
                labels.piece(
                    call.optional(name), dim - value.dim() + rank, labels.column(value, dim), "follows"
                )
    return value


def _group_norm(call: Call, labels: Labels) -> Output:
    """Channels are dim 1. Groups of one channel go as a whole; of others, every group loses the same."""
    value, groups = labels.of(call.operand("input")), int(call.arguments["num_groups"])
    channels = labels.column(value, 1)
    if groups < len(channels):
        labels.tie_copies(channels, groups)
        labels.count(channels)
    for name in ("weight", "bias"):
        labels.piece(call.optional(name), 0, channels, "follows")
    return value


RULES = {
    "aten.batch_norm.default": _per_channel,
    "aten.instance_norm.default": _per_channel,
    "aten.layer_norm.default": _over_last_dims,
    "aten.rms_norm.default": _over_last_dims,
    "aten.group_norm.default": _group_norm,
}
