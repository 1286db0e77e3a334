"""Disjoint sets of integers, with whole tensors of them merged and looked up at once."""

from __future__ import annotations

import torch

__all__ = ["UnionFind"]


class UnionFind:
    """Disjoint sets; the smallest member of a set is its root."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def __len__(self) -> int:
        return len(self._parent)

    def fresh(self, count: int) -> torch.Tensor:
        """`count` new members, each in a set of its own; int64 [count]."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return torch.arange(start, start + count)

    def root(self, member: int) -> int:
        """The smallest member of the set that `member` is in."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def roots(self, members: torch.Tensor) -> torch.Tensor:
        """`members` with every entry replaced by its root, same shape."""
        distinct, positions = torch.unique(members, return_inverse=True)
        return torch.tensor([self.root(member) for member in distinct.tolist()], dtype=torch.int64)[positions]

    def unite(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Merge entry by entry the sets of two tensors of equal shape."""
        if left.shape != right.shape:
            raise ValueError(f"cannot tie labels of shapes {tuple(left.shape)} and {tuple(right.shape)}")
        pairs = torch.unique(left.reshape(-1) * len(self._parent) + right.reshape(-1))
        for pair in pairs.tolist():
            a, b = (self.root(member) for member in divmod(pair, len(self._parent)))
            self._parent[max(a, b)] = min(a, b)
