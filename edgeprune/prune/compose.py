"""Plans that were carried out one after the other, as one plan of the original network."""

from __future__ import annotations

from edgeprune.prune.coupling import PruningPlan

__all__ = ["compose"]


def compose(*plans: PruningPlan) -> PruningPlan:
    """The single plan that leaves what `plans` leave in this order.

    Each plan numbers the channels of a group as the plans before it left them, under the same group names; the result
    numbers them as the original network does.
    """
    keep: dict[str, tuple[int, ...]] = {}
    for plan in plans:
        for name, channels in plan.keep.items():
            before = keep.get(name)
            keep[name] = tuple(channels) if before is None else tuple(before[channel] for channel in channels)
    return PruningPlan(keep)
