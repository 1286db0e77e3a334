"""Options of layers, such as sparsity patterns, seen by a solver that knows costs of pairs of groups only.

Which option a layer takes concerns that layer alone. So at given prices of the resources, in loss for a unit, the best
option follows for every pair of its widths: the one of least loss and price together. What is left is a table over
channels with a loss for every pair, which is solved exactly; at the right prices, those at which the limits are just
held, its solution is that of the whole problem, but for what the jumps from one option to the next leave unused
(H. Everett, "Generalized Lagrange multiplier method", Operations Research 1963).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeprune.costs import CostTable, LayerCost
from edgeprune.prune.pairwise import Array
from edgeprune.prune.sensitivity import Curves

__all__ = ["PRICED", "Collapsed", "Prices", "collapse", "distinct"]

Prices: TypeAlias = Mapping[str, float]
"""Loss for a unit of a resource, by its name in `LayerCost`; others cost nothing."""

PRICED = ("cycles", "flash_bytes", "macs", "parameters")
"""Resources that add up over layers."""
_Whole: TypeAlias = NDArray[np.int64]
_TABLES = ("flash_bytes", "cycles", "scratch_bytes", "macs", "parameters")


@dataclass(frozen=True, eq=False)
class _Pick:
    """For each pair of widths of a layer, the width that its option takes: [widths in, widths out]."""

    group_in: str | None
    group_out: str | None
    widths: Array


@dataclass(frozen=True, eq=False)
class Collapsed:
    """A table without options, the losses of those that were picked, by layer, and which they are."""

    table: CostTable
    losses: tuple[tuple[LayerCost, Array], ...]
    picks: Mapping[str, _Pick]

    def with_options(self, widths: Mapping[str, int]) -> dict[str, int]:
        """`widths` and, of every option, the one picked at them."""
        known = self.table.widths
        found = dict(widths)
        for name, pick in self.picks.items():
            row = known[pick.group_in].index(widths[pick.group_in]) if pick.group_in else 0
            column = known[pick.group_out].index(widths[pick.group_out]) if pick.group_out else 0
            found[name] = int(pick.widths[row, column])
        return found


def collapse(table: CostTable, curves: Curves, prices: Prices) -> Collapsed:
    """The best options at `prices`; of equal ones the last, with which all weights stay.

    Args:
        table: Of each option, every width has one layer, with tables of the same groups; ascending.
        curves: Per group and width the loss; options without a curve stay at their last width.
        prices: Not below zero.
    """
    found = {name: _picked(ways, ways.best(prices)) for name, ways in _offers(table, curves).items()}
    layers = [layer for layer in table.layers if layer.option is None]
    return Collapsed(
        replace(
            table,
            widths={name: choices for name, choices in table.widths.items() if name not in found},
            layers=(*layers, *(layer for layer, _, _ in found.values())),
        ),
        tuple((layer, losses) for layer, losses, _ in found.values()),
        {name: pick for name, (_, _, pick) in found.items()},
    )


def distinct(table: CostTable, curves: Curves, tried: Sequence[Prices]) -> list[Prices]:
    """Those of `tried` that `collapse` makes different tables of: the first of each."""
    offers = _offers(table, curves).values()
    found: dict[tuple[bytes, ...], Prices] = {}
    for prices in tried:
        found.setdefault(tuple(ways.best(prices).tobytes() for ways in offers), prices)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class _Ways:
    """Several ways to run a layer: the widths of their option, their losses, and what they cost: [way, in, out]."""

    first: LayerCost
    widths: Array
    losses: Array
    costs: Mapping[str, _Whole]

    def best(self, prices: Prices) -> _Whole:
        """For every pair of widths the number of the way of least loss and price together."""
        priced: Array = np.broadcast_to(self.losses[:, None, None], self.costs["cycles"].shape)
        for resource, price in prices.items():
            priced = priced + price * self.costs[resource]
        best: _Whole = priced.argmin(0)
        return best


def _offers(table: CostTable, curves: Curves) -> Mapping[str, _Ways]:
    """By option the ways to choose from, the one with which all weights stay first."""
    offers: dict[str, list[LayerCost]] = {}
    for layer in reversed(table.layers):
        if layer.option is not None and (layer.option[0] in curves or _is_last(layer, table)):
            offers.setdefault(layer.option[0], []).append(layer)
    return {name: _ways(layers, curves.get(name, {})) for name, layers in offers.items()}


def _ways(layers: Sequence[LayerCost], curve: Mapping[int, float]) -> _Ways:
    widths = [_width(layer) for layer in layers]
    losses = np.array([curve.get(width, 0.0) for width in widths])
    costs = {name: np.array([getattr(layer, name) for layer in layers], np.int64) for name in _TABLES}
    return _Ways(layers[0], np.array(widths), losses, costs)


def _picked(ways: _Ways, best: _Whole) -> tuple[LayerCost, Array, _Pick]:
    """The `best` ways to run a layer as one, the losses of these, and which they are."""
    tables: dict[str, Any] = {
        name: tuple(map(tuple, np.take_along_axis(costs, best[None], 0)[0].tolist()))
        for name, costs in ways.costs.items()
    }
    first = ways.first
    layer = replace(first, option=None, **tables)
    return layer, ways.losses[best], _Pick(first.group_in, first.group_out, ways.widths[best])


def _is_last(layer: LayerCost, table: CostTable) -> bool:
    assert layer.option is not None
    return layer.option[1] == table.widths[layer.option[0]][-1]


def _width(layer: LayerCost) -> int:
    assert layer.option is not None
    return layer.option[1]
