"""The integer programme over widths, solved by HiGHS.

One binary variable per group and width; where groups share a cost, one variable per pair of widths, tied to both
groups by its marginals, so that any table is linear (the local polytope of M. Wainwright and M. Jordan, 2008). Widths
and pairs that the Lagrangian bounds have ruled out have no variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import highspy
import numpy as np
import numpy.typing as npt

from edgeprune.errors import EnvironmentFailure
from edgeprune.prune.pairwise import Array, Pair, Positions
from edgeprune.prune.relaxation import Relaxation

__all__ = ["Outcome", "Remaining", "solve"]

_MOST_NODES = 2_000
"""Ends a search that gets nowhere after the same work on any machine; the time limit may come first."""
_TOLERANCE = 1e-9
"""Limits are whole numbers with room for about half of one more, which is a small share of a large limit."""

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Remaining:
    """The widths of each group and the pairs of widths that are still possible."""

    singles: Sequence[Mask]
    pairs: Mapping[Pair, Mask]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The best widths found, if any, and a bound on the objective: infinity where there are proven to be none."""

    positions: Positions | None
    bound: float


def solve(
    relaxation: Relaxation,
    remaining: Remaining,
    start: Positions | None,
    good_enough: float,
    gap: float,
    time_limit_s: float,
) -> Outcome:
    """The best of the remaining widths.

    Args:
        relaxation: The problem.
        remaining: What is still possible.
        start: Widths that hold the limits, to begin with; among the remaining.
        good_enough: An objective at which to stop.
        gap: A relative gap at which to stop.
        time_limit_s: When to stop anyway.

    Raises:
        EnvironmentFailure: HiGHS refuses the programme, which is a defect.
    """
    columns = _Columns(relaxation, remaining)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    options: dict[str, bool | int | float | str] = {
        "output_flag": False,
        "parallel": "off",
        "random_seed": 0,
        "time_limit": max(time_limit_s, 0.1),
        "mip_rel_gap": gap,
        "mip_max_nodes": _MOST_NODES,
        "objective_target": good_enough,
        "mip_feasibility_tolerance": _TOLERANCE,
        "primal_feasibility_tolerance": _TOLERANCE,
    }
    for option, value in options.items():
        solver.setOptionValue(option, value)
    if solver.passModel(_model(relaxation, columns)) == highspy.HighsStatus.kError:
        raise EnvironmentFailure("HiGHS does not accept the programme over widths; report this network")
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = columns.values(start).tolist()
        solver.setSolution(solution)
    solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Outcome(None, np.inf)
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(solver.getSolution().col_value) if found else None
    return Outcome(None if values is None else columns.positions(values), float(info.mip_dual_bound))


class _Columns:
    """Which variable stands for which width and pair of widths."""

    def __init__(self, relaxation: Relaxation, remaining: Remaining) -> None:
        self.kept = [np.flatnonzero(mask) for mask in remaining.singles]
        self.ends = np.concatenate([[0], np.cumsum([len(kept) for kept in self.kept])]).astype(int)
        self.pairs: dict[Pair, tuple[Indices, Indices, int]] = {}
        self.count = int(self.ends[-1])
        for pair in relaxation.pairs:
            i, j = (remaining.singles[group] for group in pair)
            first, second = np.nonzero(remaining.pairs[pair] & i[:, None] & j[None, :])
            self.pairs[pair] = first, second, self.count
            self.count += len(first)

    def values(self, positions: Positions) -> Array:
        """The variables' values at `positions`."""
        found = np.zeros(self.count)
        for group, kept in enumerate(self.kept):
            found[self.ends[group] + np.searchsorted(kept, positions[group])] = 1.0
        for (i, j), (first, second, start) in self.pairs.items():
            found[start + np.flatnonzero((first == positions[i]) & (second == positions[j]))] = 1.0
        return found

    def positions(self, values: Array) -> Positions:
        """The widths that these values choose."""
        return tuple(
            int(kept[values[start:end].argmax()])
            for kept, (start, end) in zip(self.kept, pairwise(self.ends), strict=True)
        )


class _Rows:
    """The rows of the programme, gathered as coordinates."""

    def __init__(self) -> None:
        self.lower: list[Array] = []
        self.upper: list[Array] = []
        self.count = 0
        self._entries: list[tuple[Indices, Indices, Array]] = []

    def add(self, lines: Indices, columns: Indices, values: Array, low: Array, high: Array) -> None:
        """Rows of entries whose `lines` count from the first of them; as many as there are bounds."""
        self._entries.append((lines + self.count, columns, values))
        self.lower.append(low)
        self.upper.append(high)
        self.count += len(low)

    def put_into(self, model: highspy.HighsLp) -> None:
        """Give the rows to `model`, without entries of zero."""
        lines, columns, values = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        order = np.flatnonzero(values)
        order = order[np.argsort(lines[order], kind="stable")]
        model.num_row_ = self.count
        model.row_lower_, model.row_upper_ = np.concatenate(self.lower), np.concatenate(self.upper)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.searchsorted(lines[order], np.arange(self.count + 1)).astype(np.int32)
        model.a_matrix_.index_ = columns[order].astype(np.int32)
        model.a_matrix_.value_ = values[order]


def _model(relaxation: Relaxation, columns: _Columns) -> highspy.HighsLp:
    costs = _costs(relaxation, columns)
    rows = _Rows()
    one = np.ones(1)
    for start, end in pairwise(columns.ends):
        rows.add(np.zeros(end - start, int), np.arange(start, end), np.ones(end - start), one, one)
    for pair, (*sides, start) in columns.pairs.items():
        for group, side in zip(pair, sides, strict=True):
            kept = columns.kept[group]
            widths = np.arange(len(kept))
            lines = np.concatenate([np.searchsorted(kept, side), widths])
            places = np.concatenate([start + np.arange(len(side)), columns.ends[group] + widths])
            values = np.concatenate([np.ones(len(side)), -np.ones(len(kept))])
            rows.add(lines, places, values, np.zeros(len(kept)), np.zeros(len(kept)))
    for excess, constant in zip(costs[1:], relaxation.constant[1:], strict=True):
        rows.add(
            np.zeros(columns.count, int), np.arange(columns.count), excess, -np.inf * one, -constant * one
        )
    model = highspy.HighsLp()
    model.num_col_ = columns.count
    model.col_cost_ = costs[0]
    model.offset_ = float(relaxation.constant[0])
    model.col_lower_, model.col_upper_ = np.zeros(columns.count), np.ones(columns.count)
    binary = int(columns.ends[-1])
    model.integrality_ = [highspy.HighsVarType.kInteger] * binary + [highspy.HighsVarType.kContinuous] * (
        columns.count - binary
    )
    rows.put_into(model)
    return model


def _costs(relaxation: Relaxation, columns: _Columns) -> Array:
    """Every cost's coefficients: [cost, variable]."""
    found = np.zeros((len(relaxation.constant), columns.count))
    for group, kept in enumerate(columns.kept):
        found[:, columns.ends[group] : columns.ends[group + 1]] = relaxation.singles[group][:, kept]
    for pair, (first, second, start) in columns.pairs.items():
        indices, stack = relaxation.of_pair(pair)
        found[indices, start : start + len(first)] = stack[:, first, second]
    return found
