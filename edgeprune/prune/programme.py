"""The integer programme over widths: its variables, its rows and its solver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from edgeprune.costs import CostTable, LayerCost
from edgeprune.errors import EnvironmentFailure
from edgeprune.prune.limits import Limits
from edgeprune.prune.sensitivity import Curves

__all__ = ["Programme"]

_SLACK = 5e-6
"""Rows are scaled to a right-hand side of about 1 and kept this far below it, beyond the solver's tolerance."""
_PREFER_WIDE = 1e-6
"""Of widths whose predicted loss is equal, the wider: this much of the largest loss, over the whole range."""
_GAP = 1e-3


@dataclass(frozen=True, eq=False)
class _Sum:
    """A linear expression: coefficients by variable, and a constant."""

    terms: Mapping[int, float]
    constant: float = 0.0

    def __add__(self, other: _Sum) -> _Sum:
        terms = Counter(self.terms)
        terms.update(other.terms)
        return _Sum(terms, self.constant + other.constant)


@dataclass(frozen=True, eq=False)
class _Row:
    terms: Mapping[int, float]
    low: float
    high: float


class Programme:
    """Variables for the widths of a cost table; groups in `fixed` keep their last width."""

    def __init__(self, table: CostTable, fixed: Collection[str] = ()) -> None:
        self._table = table
        self._width: dict[tuple[str, int], int] = {}
        self._pair: dict[tuple[str, str | None, str | None, int, int], int] = {}
        self._rows: list[_Row] = []
        for name, options in table.widths.items():
            columns = [self._width.setdefault((name, at), len(self._width)) for at in range(len(options))]
            self._rows.append(_Row(dict.fromkeys(columns, 1.0), 1.0, 1.0))
            if name in fixed:
                self._rows.append(_Row({columns[-1]: 1.0}, 1.0, 1.0))
        for layer in table.layers:
            self._add_pairs(layer)
        self._excess = len(self._width) + len(self._pair)

    def least_loss(self, curves: Curves, limits: Limits, time_limit_s: float) -> Mapping[str, int] | None:
        """The widths of least summed loss within `limits`; None if there are none."""
        cost = np.zeros(self._excess + 1)
        largest = max((max(curve.values()) for curve in curves.values()), default=0.0) or 1.0
        for (name, at), column in self._width.items():
            options = self._table.widths[name]
            loss = curves[name][options[at]] if name in curves else 0.0
            cost[column] = loss + _PREFER_WIDE * largest * (1 - options[at] / options[-1])
        # Costs are whole numbers, so that half of one more than the limit is room for the slack.
        rows = [
            _Row(expression.terms, -np.inf, limit + 0.5 - _SLACK * limit - expression.constant)
            for limit, expression in self._limited(limits)
        ]
        return self._solve(cost, rows, [limit for limit, _ in self._limited(limits)], time_limit_s)

    def least_excess(self, limits: Limits, time_limit_s: float) -> Mapping[str, int]:
        """The widths whose largest ratio of use to limit is least."""
        cost = np.zeros(self._excess + 1)
        cost[self._excess] = 1.0
        rows = [
            _Row({**expression.terms, self._excess: -float(limit)}, -np.inf, -expression.constant)
            for limit, expression in self._limited(limits)
        ]
        widths = self._solve(cost, rows, [limit for limit, _ in self._limited(limits)], time_limit_s)
        if widths is None:
            raise EnvironmentFailure("the solver found no widths at all; report this cost table")
        return widths

    def _limited(self, limits: Limits) -> list[tuple[int, _Sum]]:
        """Every limit with each expression that must stay within it."""
        table, given = self._table, limits.given()
        rows: list[tuple[int, _Sum]] = []
        if (flash := given.get("flash_bytes")) is not None:
            total = self._total([(layer, layer.flash_bytes) for layer in table.layers])
            rows.append((flash, total + _Sum({}, table.fixed_flash_bytes)))
        if (cycles := given.get("cycles")) is not None:
            total = self._total([(layer, layer.cycles) for layer in table.layers])
            rows.append((cycles, total + _Sum({}, table.fixed_cycles)))
        if (macs := given.get("macs")) is not None:
            rows.append((macs, self._total([(layer, layer.macs) for layer in table.layers])))
        if (ram := given.get("ram_bytes")) is not None:
            rows.extend((ram, expression) for expression in self._memory())
        return rows

    def _memory(self) -> list[_Sum]:
        expressions: list[_Sum] = []
        for row in self._table.rows:
            scratch = [
                (layer, layer.scratch_bytes) for layer in self._table.layers if layer.name == row.layer
            ]
            alive = {
                self._width[name, at]: per_channel * width
                for name, per_channel in row.bytes_per_channel.items()
                for at, width in enumerate(self._table.widths[name])
            }
            fixed = self._table.fixed_ram_bytes + row.fixed_bytes
            expressions.append(self._total(scratch) + _Sum(alive, fixed))
        return expressions

    def _total(self, entries: Sequence[tuple[LayerCost, tuple[tuple[int, ...], ...]]]) -> _Sum:
        """The sum over layers of the entries of their tables that the widths select."""
        terms: Counter[int] = Counter()
        constant = 0.0
        for layer, costs in entries:
            before, after = layer.group_in, layer.group_out
            if before is None and after is None:
                constant += costs[0][0]
            elif before == after or before is None or after is None:
                name = before or after
                assert name is not None
                for at in range(len(self._table.widths[name])):
                    entry = costs[at if before else 0][at if after else 0]
                    terms[self._width[name, at]] += entry
            else:
                for at_in, line in enumerate(costs):
                    for at_out, entry in enumerate(line):
                        terms[self._pair_column(layer, at_in, at_out)] += entry
        return _Sum(terms, constant)

    def _add_pairs(self, layer: LayerCost) -> None:
        """A variable for each pair of widths, whose sums over either side are the other side's choice."""
        before, after = layer.group_in, layer.group_out
        if before is None or after is None or before == after:
            return
        ins, outs = (range(len(self._table.widths[name])) for name in (before, after))
        if (layer.name, before, after, 0, 0) in self._pair:
            return
        for at_in in ins:
            for at_out in outs:
                self._pair[layer.name, before, after, at_in, at_out] = len(self._pair)
        for at_in in ins:
            line = {self._pair_column(layer, at_in, at_out): 1.0 for at_out in outs}
            self._rows.append(_Row({**line, self._width[before, at_in]: -1.0}, 0.0, 0.0))
        for at_out in outs:
            line = {self._pair_column(layer, at_in, at_out): 1.0 for at_in in ins}
            self._rows.append(_Row({**line, self._width[after, at_out]: -1.0}, 0.0, 0.0))

    def _pair_column(self, layer: LayerCost, at_in: int, at_out: int) -> int:
        return len(self._width) + self._pair[layer.name, layer.group_in, layer.group_out, at_in, at_out]

    def _solve(
        self, cost: np.ndarray, limited: Sequence[_Row], scales: Sequence[int], time_limit_s: float
    ) -> Mapping[str, int] | None:
        scaled = [
            _Row({column: value / scale for column, value in row.terms.items()}, row.low, row.high / scale)
            for row, scale in zip(limited, (max(1, scale) for scale in scales), strict=True)
        ]
        rows = [*self._rows, *scaled]
        count = self._excess + 1
        entries = [(at, column, value) for at, row in enumerate(rows) for column, value in row.terms.items()]
        line, column, value = zip(*entries, strict=True)
        matrix = coo_array((value, (line, column)), shape=(len(rows), count)).tocsr()
        binary = np.zeros(count, dtype=np.int64)
        binary[: len(self._width)] = 1
        upper = np.ones(count)
        upper[self._excess] = np.inf
        result = milp(
            cost,
            constraints=LinearConstraint(matrix, [row.low for row in rows], [row.high for row in rows]),
            integrality=binary,
            bounds=Bounds(np.zeros(count), upper),
            options={"time_limit": time_limit_s, "mip_rel_gap": _GAP},
        )
        if result.x is None:
            if result.status == 2:
                return None
            raise EnvironmentFailure(
                f"the solver found no widths within {time_limit_s:g} s: {result.message}"
            )
        return {
            name: next(width for at, width in enumerate(options) if result.x[self._width[name, at]] > 0.5)
            for name, options in self._table.widths.items()
        }
