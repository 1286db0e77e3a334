"""Costs as sums over single groups and pairs of groups: the form in which the solvers of `choose` read a `CostTable`.

Every cost of a layer depends on at most the widths of two groups, so each resource is a constant, a table per group
and a table per pair of groups. Groups are numbered, and a choice of widths is a position per group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeprune.costs import CostTable, LayerCost, MemoryRow

__all__ = ["Array", "Pair", "PairwiseSum", "Positions", "Space"]

Array: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[int, int]
"""Two group numbers, ascending."""
Positions: TypeAlias = tuple[int, ...]
"""Per group, the position of its width among those it may take."""
Entries: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(eq=False)
class PairwiseSum:
    """A constant, tables [widths] of single groups, and tables [widths, widths] of pairs of groups."""

    constant: float = 0.0
    singles: dict[int, Array] = field(default_factory=dict)
    pairs: dict[Pair, Array] = field(default_factory=dict)

    def plus(self, other: PairwiseSum) -> PairwiseSum:
        """The sum of both."""
        found = PairwiseSum(self.constant + other.constant, dict(self.singles), dict(self.pairs))
        for group, table in other.singles.items():
            found.add_single(group, table)
        for pair, table in other.pairs.items():
            found.add_pair(*pair, table)
        return found

    def at(self, positions: Sequence[int]) -> float:
        """The sum at these widths."""
        singles = sum(float(table[positions[group]]) for group, table in self.singles.items())
        pairs = sum(float(table[positions[i], positions[j]]) for (i, j), table in self.pairs.items())
        return self.constant + singles + pairs

    def largest(self) -> float:
        """What no widths exceed: the sum of the largest entries."""
        return self.constant + sum(
            float(table.max()) for table in (*self.singles.values(), *self.pairs.values())
        )

    def groups(self) -> frozenset[int]:
        """The groups it depends on."""
        return frozenset(self.singles).union(*self.pairs)

    def add_single(self, group: int, table: Array) -> None:
        """Add a table of one group."""
        self.singles[group] = self.singles[group] + table if group in self.singles else table

    def add_pair(self, first: int, second: int, table: Array) -> None:
        """Add a table [widths of first, widths of second]."""
        pair, table = ((first, second), table) if first < second else ((second, first), table.T)
        self.pairs[pair] = self.pairs[pair] + table if pair in self.pairs else table


class Space:
    """The groups of a table and the widths each may take; groups in `fixed` only their last."""

    def __init__(self, table: CostTable, fixed: Collection[str] = ()) -> None:
        self._table = table
        self.names = tuple(table.widths)
        self._number = {name: number for number, name in enumerate(self.names)}
        self._first = {
            name: len(options) - 1 if name in fixed else 0 for name, options in table.widths.items()
        }
        self.widths = tuple(table.widths[name][self._first[name] :] for name in self.names)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many widths each group may take."""
        return tuple(len(options) for options in self.widths)

    def widths_at(self, positions: Sequence[int]) -> dict[str, int]:
        """The widths at these positions, by group."""
        return {
            name: options[at] for name, options, at in zip(self.names, self.widths, positions, strict=True)
        }

    def of_groups(self, tables: Mapping[str, Mapping[int, float]]) -> PairwiseSum:
        """The sum of a table per group and width; groups without one add nothing."""
        found = PairwiseSum()
        for number, (name, options) in enumerate(zip(self.names, self.widths, strict=True)):
            if name in tables:
                found.add_single(number, np.array([tables[name][width] for width in options], float))
        return found

    def of_layers(self, tables: Sequence[tuple[LayerCost, Array]]) -> PairwiseSum:
        """The sum of a table [widths in, widths out] per layer."""
        return self._sum(tables, 0.0)

    def sums(self) -> dict[str, PairwiseSum]:
        """Each resource that adds up over the layers, by the name that `Limits` gives it."""
        table = self._table
        layers = table.layers
        return {
            "flash_bytes": self._sum([(one, one.flash_bytes) for one in layers], table.fixed_flash_bytes),
            "cycles": self._sum([(one, one.cycles) for one in layers], table.fixed_cycles),
            "macs": self._sum([(one, one.macs) for one in layers], 0),
            "parameters": self._sum([(one, one.parameters) for one in layers], 0),
        }

    def memory(self) -> tuple[PairwiseSum, ...]:
        """The bytes alive at each memory row."""
        return tuple(self._row(row) for row in self._table.rows)

    def _row(self, row: MemoryRow) -> PairwiseSum:
        scratch = [(one, one.scratch_bytes) for one in self._table.layers if one.name == row.layer]
        found = self._sum(scratch, self._table.fixed_ram_bytes + row.fixed_bytes)
        for name, per_channel in row.bytes_per_channel.items():
            number = self._number[name]
            found.add_single(number, np.array(self.widths[number], float) * per_channel)
        return found

    def _sum(self, entries: Sequence[tuple[LayerCost, Entries | Array]], constant: float) -> PairwiseSum:
        found = PairwiseSum(float(constant))
        for layer, costs in entries:
            before, after = layer.group_in, layer.group_out
            table = np.array(costs, float)
            table = table[self._first[before] :] if before else table
            table = table[:, self._first[after] :] if after else table
            if before is None and after is None:
                found.constant += float(table[0, 0])
            elif before is None or after is None:
                found.add_single(self._number[before or after or ""], table.reshape(-1))
            elif before == after:
                found.add_single(self._number[before], table.diagonal().copy())
            else:
                found.add_pair(self._number[before], self._number[after], table)
        return found
