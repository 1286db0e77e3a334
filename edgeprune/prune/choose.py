"""`choose`: how many channels each group keeps, so that the least loss is predicted within limits.

The answer says how close to the optimum it is proven to be; see `minimize` for how it is found.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeprune.costs import CostTable
from edgeprune.prune.limits import Limits, Resources, resources
from edgeprune.prune.options import PRICED, Prices, distinct
from edgeprune.prune.refusal import nothing_fits
from edgeprune.prune.search import Search, dearest
from edgeprune.prune.sensitivity import Curves

__all__ = ["Choice", "choice_at", "choose", "narrowest"]

_PRICE_STEPS = tuple(step / 4 for step in range(-10, 3))
"""Powers of ten of the price of the whole network, in units of the loss of all cuts together."""


@dataclass(frozen=True)
class Choice:
    """Widths per group, the loss the curves predict for them, and what the network then uses.

    `gap`: by how much of its objective the best choice can differ from this one at most, where it was proven;
    infinity where nothing was proven in time, None where nothing was sought.
    """

    widths: Mapping[str, int]
    predicted_loss: float
    resources: Resources
    gap: float | None = None


def choose(curves: Curves, table: CostTable, limits: Limits, time_limit_s: float = 8.0) -> Choice:
    """The widths of least predicted loss that hold `limits`; all channels where the whole network does.

    Args:
        curves: Per group and width the loss it adds, as `sensitivity.measure` gives it. Groups of the table
            without a curve stay whole.
        table: What layers and steps cost at every width.
        limits: What the network may use.
        time_limit_s: After this long the best widths found so far are taken; their `gap` says what that means. With
            options it is shared by the prices that are tried; the free and the dearest are tried in any case.

    Raises:
        NothingFits: no widths hold the limits; says which limit binds, where, and what would fit.
    """
    whole = {name: options[-1] for name, options in table.widths.items()}
    if limits.hold(resources(table, whole)):
        return choice_at(curves, table, whole, gap=0.0)
    end = time.monotonic() + time_limit_s
    best: Choice | None = None
    tried = distinct(table, curves, _prices(curves, table, limits))
    for number, prices in enumerate(tried):
        left = max(0.0, end - time.monotonic())
        if number > 1 and not left:
            break
        search = Search(table, curves, left / (len(tried) - number), prices=prices)
        found = search.least_loss(limits)
        if found.positions is not None:
            choice = choice_at(curves, table, search.widths_at(found.positions), found.gap)
            best = choice if best is None or choice.predicted_loss < best.predicted_loss else best
    if best is None:
        dear = Search(table, curves, time_limit_s, prices=dearest(table))
        raise nothing_fits(dear, limits, proven=found.impossible and not table.options)
    return best if not table.options else replace(best, gap=math.inf)


def _prices(curves: Curves, table: CostTable, limits: Limits) -> list[Prices]:
    """Prices to try, for a table with options: of each limited resource that the whole network exceeds, and of all.

    First come none, at which all weights stay, and the dearest, at which limits hold if they do anywhere, as a rule.
    """
    whole = resources(table, {name: options[-1] for name, options in table.widths.items()})
    exceeded = [
        name for name, limit in limits.given().items() if name in PRICED and getattr(whole, name) > limit
    ]
    if not table.options or not exceeded:
        return [{}]
    loss = sum(max(curve.values()) for curve in curves.values())
    directions = [(name,) for name in exceeded] + ([tuple(exceeded)] if len(exceeded) > 1 else [])
    tried: list[Prices] = [{}, dearest(table)]
    for names in directions:
        for step in _PRICE_STEPS:
            tried.append({name: loss * 10.0**step / getattr(whole, name) for name in names})
    return tried


def choice_at(
    curves: Curves, table: CostTable, widths: Mapping[str, int], gap: float | None = None
) -> Choice:
    """These widths as a choice, with their predicted loss and resources."""
    loss = sum(curves[name][width] for name, width in widths.items() if name in curves)
    return Choice(widths, loss, resources(table, widths), gap)


def narrowest(curves: Curves, table: CostTable) -> Choice:
    """The smallest network there is: every group that has a curve at its fewest channels."""
    widths = {name: options[0 if name in curves else -1] for name, options in table.widths.items()}
    return choice_at(curves, table, widths)
