"""Tables of vectors looked up by integer inputs."""

from __future__ import annotations

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _embedding(call: Call, labels: Labels) -> Output:
    """Weights are [entries, channels]."""
    weight = call.operand("weight")
    channels = labels.fresh(weight.shape[1])
    labels.piece(weight, 1, channels, "produces")
    labels.layer(weight, channels[:0], channels)
    return spread(channels, -1, call.output)


RULES = {"aten.embedding.default": _embedding}
