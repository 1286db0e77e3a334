"""Attention's channels: a grid of heads by columns, which loses whole heads and whole columns only.

The cell (h, j) of a grid stands for column j of head h in the query, in the key and, where it is as wide, in the
value. What is left after a cut must be a box again, because the network reshapes between [heads, columns] and
their product. Scores have one label per head: it goes when all cells of its row are gone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch

from edgeprune.prune.union_find import UnionFind

__all__ = ["Grid", "Grids"]

Grid = tuple[tuple[int, ...], ...]
"""Per head the roots of its columns; rows of one length, no root twice."""


@dataclass(frozen=True, eq=False)
class _Found:
    """A label per head, [heads], and the labels of its cells, [heads, columns]."""

    heads: torch.Tensor
    cells: torch.Tensor


class Grids:
    """The grids found so far, over one union-find of labels."""

    def __init__(self, sets: UnionFind) -> None:
        self._sets = sets
        self._rows: dict[int, torch.Tensor] = {}
        self._found: list[_Found] = []

    def heads(self, cells: torch.Tensor) -> torch.Tensor:
        """Note the grid of `cells` [..., columns]; a label for each of its rows, [...]."""
        rows = cells.reshape(-1, cells.shape[-1])
        distinct, where = torch.unique(self._sets.roots(rows), dim=0, return_inverse=True)
        labels = self._sets.fresh(len(distinct))
        self._rows.update(zip(labels.tolist(), distinct, strict=True))
        self._found.append(_Found(labels, distinct))
        return labels[where].reshape(cells.shape[:-1])

    def cells(self, heads: torch.Tensor) -> torch.Tensor | None:
        """The cells [..., columns] of the rows that `heads` [...] label; None if one is no head's label."""
        members = heads.reshape(-1).tolist()
        if any(member not in self._rows for member in members):
            return None
        return torch.stack([self._rows[member] for member in members]).reshape(*heads.shape, -1)

    def tie_heads(self, cells: torch.Tensor) -> bool:
        """Make the rows of [..., columns] one, so that only columns go; whether that changed anything."""
        rows = self._sets.roots(cells.reshape(-1, cells.shape[-1]))
        if bool((rows == rows[:1]).all()):
            return False
        self._sets.unite(rows[:1].expand_as(rows), rows)
        return True

    def settle(self, lasting: Collection[int], placed: Collection[int]) -> list[Grid]:
        """The grids whose heads can go one by one; in the others heads are tied, so that columns go alone.

        Args:
            lasting: Labels of channels that must stay.
            placed: Labels of channels that parameters hold.
        """
        while any(self._tie_if_bound(found, lasting, placed) for found in self._found):
            pass
        grids: dict[frozenset[int], Grid] = {}
        for found in self._found:
            rows = torch.unique(self._sets.roots(found.cells), dim=0)
            if len(rows) > 1:
                grid = tuple(tuple(row) for row in rows.tolist())
                grids.setdefault(frozenset(rows.reshape(-1).tolist()), grid)
        return list(grids.values())

    def rows(self) -> dict[int, frozenset[int]]:
        """For each head's label, by its root, the roots of its cells."""
        return {
            self._sets.root(label): frozenset(self._sets.roots(cells).tolist())
            for label, cells in self._rows.items()
        }

    def _tie_if_bound(self, found: _Found, lasting: Collection[int], placed: Collection[int]) -> bool:
        """Tie heads that are tied to channels or each other, hold a channel that stays, or cross other grids."""
        stay = {self._sets.root(label) for label in lasting}
        ends = set(self._sets.roots(found.heads).tolist())
        rows = torch.unique(self._sets.roots(found.cells), dim=0)
        members = set(rows.reshape(-1).tolist())
        others = (set(self._sets.roots(other.cells).reshape(-1).tolist()) for other in self._found)
        bound = (
            len(ends) < len(found.heads)
            or bool(ends & (stay | {self._sets.root(label) for label in placed}))
            or bool(members & stay)
            or len(members) < rows.numel()
            or any(members & other and members != other for other in others)
        )
        return bound and self.tie_heads(found.cells)
