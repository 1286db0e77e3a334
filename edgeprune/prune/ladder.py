"""How a grid of attention's channels shrinks: heads and columns in turn, along one ladder of nested boxes.

A box of a grid has two sides, a width only one number. So that a number of channels says what is left, the boxes
offered are a ladder: each step takes an eighth of the heads or a quarter of the columns, but at least one, from
the side of which the larger share is left; columns first where both are equal. Scores say which heads and columns go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["is_box", "ladder", "ranked"]


def ladder(heads: int, columns: int) -> tuple[tuple[int, int], ...]:
    """The boxes offered, (heads, columns), from the whole grid down; each lies inside the one before."""
    head_step, column_step = max(1, heads // 8), max(1, columns // 4)
    left_heads, left_columns = heads, columns
    boxes = [(heads, columns)]
    while True:
        fewer_columns, fewer_heads = left_columns - column_step, left_heads - head_step
        if fewer_columns >= 1 and (left_columns * heads >= left_heads * columns or fewer_heads < 1):
            left_columns = fewer_columns
        elif fewer_heads >= 1:
            left_heads = fewer_heads
        else:
            return tuple(boxes)
        boxes.append((left_heads, left_columns))


def ranked(scores: Sequence[float], heads: int) -> tuple[float, ...]:
    """Scores by which the best channels of a grid, as many as a box of the ladder holds, are that box.

    Args:
        scores: Per channel, head by head; heads and columns are ranked by their sums.
        heads: How many heads there are.
    """
    grid = np.asarray(scores, dtype=np.float64).reshape(heads, -1)
    columns = grid.shape[1]
    order = np.argsort(-grid.sum(1), kind="stable"), np.argsort(-grid.sum(0), kind="stable")
    result = np.zeros_like(grid)
    for left_heads, left_columns in ladder(heads, columns):
        result[np.ix_(order[0][:left_heads], order[1][:left_columns])] += 1.0
    return tuple(result.reshape(-1).tolist())


def is_box(kept: Iterable[int], heads: int, size: int) -> bool:
    """Whether the channels kept of a grid of `size` channels are whole heads of whole columns, at least one."""
    columns = size // heads
    places = {divmod(channel, columns) for channel in kept}
    rows, lines = {row for row, _ in places}, {line for _, line in places}
    return bool(places) and len(places) == len(rows) * len(lines)
