"""Pooling and resampling: every channel on its own, spatial dimensions changed."""

from __future__ import annotations

import re

from edgeprune.prune.aten.rule import Output, Rule, spread
from edgeprune.prune.labels import Labels
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _per_channel(call: Call, labels: Labels) -> Output:
    """Channels are the dimension before the spatial ones, whose number is part of the operator's name."""
    spatial = re.search(r"([123])d", call.target)
    assert spatial is not None
    axis = -1 - int(spatial.group(1))
    value = labels.of(call.operands()[0])
    return spread(labels.column(value, axis), axis, call.output)


_POOLS = "max_pool avg_pool adaptive_avg_pool"
_RESIZES = "upsample_nearest upsample_nearest_exact upsample_linear upsample_bilinear upsample_bicubic"

RULES: dict[str, Rule] = {
    **{f"aten.{name}{rank}d.default": _per_channel for name in _POOLS.split() for rank in (1, 2, 3)},
    **{
        f"aten.{name}{rank}d.{overload}": _per_channel
        for name in _RESIZES.split()
        for rank in (1, 2, 3)
        for overload in ("default", "vec")
    },
}
