"""How much worse one score is than another."""

from __future__ import annotations

from edgeprune.errors import UsageError
from edgeprune.model.model import Training

__all__ = ["points_lost"]


def points_lost(training: Training, before: float, after: float) -> float:
    """How many points `after` is worse than `before` by the recipe's metric; negative where it is better.

    Where both scores are shares, from 0 to 1, a point is a hundredth: 79.6 % to 78.1 % loses 1.5 points. Of any
    other metric a point is one per cent of `before`.

    Raises:
        UsageError: `before` is 0 and the metric is no share, so that no part of it can be named.
    """
    worse = before - after if training.higher_is_better else after - before
    if 0 <= before <= 1 and 0 <= after <= 1:
        return 100 * worse
    if before == 0:
        raise UsageError(
            f"the metric {training.metric_name!r} is 0 before pruning: no loss of it can be named"
        )
    return 100 * worse / abs(before)
