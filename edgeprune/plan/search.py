"""Branch and bound for packing an arena: storages are placed in order of offset, each as low as it can lie.

Why that order loses nothing: push every storage of a packing down until it rests on another or on the floor,
and the arena gets no higher. Read such a packing from the bottom up; every storage lies at the least offset
that those before it leave, because all of them are below or level with it (distances are never negative).

Two rules cut the tree. A storage may go next only if each storage that could lie lower meets it and would be
pushed up by it: otherwise the other one lies lower in some equally good packing, and comes first. And a state,
given by what is placed and how low the rest may lie, is expanded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Layout", "improve", "least_height"]

_NODES = 6_000
_WORK = 100_000
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """A packing problem for n storages.

    `above[a, b]` is the least offset(a) - offset(b) when a lies above b and the two meet; `cliques` has a row
    per step with its storages marked.
    """

    sizes: Integers
    aligns: Integers
    meets: npt.NDArray[np.bool_]
    above: Integers
    cliques: npt.NDArray[np.bool_]


def least_height(layout: Layout) -> int:
    """A height that no packing undercuts: the largest step's need, its overlaps granted."""
    return int(_clique_weights(layout).sum(axis=1).max(initial=0))


def improve(layout: Layout, start: Integers, bound: int) -> tuple[Integers, bool]:
    """The lowest packing found from `start` on, and whether it is proven that none is lower.

    The search ends at height `bound`, below which no packing can be, or after a number of nodes that falls
    with the problem's size.
    """
    search = _Search(layout, start)
    if search.height <= bound:
        return start, True
    left = min(_NODES, _WORK // len(start))
    stack = [_State(np.ones(len(start), bool), np.zeros_like(start), np.zeros_like(start), 0)]
    while stack and left and search.height > bound:
        left -= 1
        stack.extend(search.expand(stack.pop()))
    return search.best, not stack or search.height <= bound


@dataclass(frozen=True, eq=False)
class _State:
    unplaced: npt.NDArray[np.bool_]
    low: Integers
    """The least offset that the placed storages leave to each unplaced one."""
    offsets: Integers
    top: int
    """The highest end of a placed storage."""


class _Search:
    def __init__(self, layout: Layout, start: Integers) -> None:
        self.layout = layout
        self.best = start
        self.height = int((start + layout.sizes).max())
        self._push = np.where(layout.meets, layout.above, 0)
        self._weights = _clique_weights(layout)
        self._seen: dict[bytes, int] = {}

    def expand(self, state: _State) -> list[_State]:
        """The states that follow, most promising last; a finished packing is kept when it is the lowest."""
        if not state.unplaced.any():
            if state.top < self.height:
                self.best, self.height = state.offsets, state.top
            return []
        if self._bound(state) >= self.height or self._known(state):
            return []
        return [self._placed(state, index) for index in self._next(state)[::-1]]

    def _bound(self, state: _State) -> int:
        """No way on from `state` ends below this."""
        ends = int((state.low + self.layout.sizes)[state.unplaced].max())
        in_clique = self.layout.cliques & state.unplaced
        floors = np.where(in_clique, state.low, np.iinfo(np.int64).max).min(axis=1)
        rest = self._weights @ state.unplaced
        used = in_clique.any(axis=1)
        return max(state.top, ends, int((floors + rest)[used].max()))

    def _known(self, state: _State) -> bool:
        key = state.unplaced.tobytes() + state.low[state.unplaced].tobytes()
        known = self._seen.get(key)
        if known is not None and known <= state.top:
            return True
        self._seen[key] = state.top
        return False

    def _next(self, state: _State) -> list[int]:
        """Storages that may be placed next, lowest and largest first."""
        rest = np.flatnonzero(state.unplaced)
        low = state.low[rest]
        push = self._push[np.ix_(rest, rest)]
        first = (low[None, :] + push <= low[:, None]) & (low[None, :] < low[:, None])
        free = rest[~first.any(axis=1)]
        keys = np.lexsort((free, -self.layout.sizes[free], state.low[free]))
        return [int(index) for index in free[keys]]

    def _placed(self, state: _State, index: int) -> _State:
        layout, offset = self.layout, int(state.low[index])
        unplaced, offsets = state.unplaced.copy(), state.offsets.copy()
        unplaced[index] = False
        offsets[index] = offset
        raised = -(-(offset + layout.above[:, index]) // layout.aligns) * layout.aligns
        low = np.where(layout.meets[:, index], np.maximum(state.low, raised), state.low)
        return _State(unplaced, low, offsets, max(state.top, offset + int(layout.sizes[index])))


def _clique_weights(layout: Layout) -> Integers:
    """Sizes by clique and storage, an output less what the inputs above it in that clique may share with it."""
    shared = np.where(layout.meets, layout.sizes[None, :] - layout.above, 0)
    weights: Integers = np.where(layout.cliques, layout.sizes, 0)
    for upper, lower in np.argwhere(shared > 0):
        together = layout.cliques[:, upper] & layout.cliques[:, lower]
        others = np.flatnonzero(shared[:, lower] > 0)
        most = min(int(shared[others, lower].max()), int(layout.sizes[others].sum()))
        weights[together, lower] = layout.sizes[lower] - most
    return weights
