"""A layer with some of its weights zero in a pattern, for asking kernels what it would cost.

Which blocks stay is not known when the question is asked, and costs hardly depend on it: of every row of blocks the
same share, spread evenly, each row starting where the last one ended.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.patterns import LayerPattern

__all__ = ["can_be_thinned", "thinned"]


def can_be_thinned(node: Node) -> bool:
    """Whether sparse kernels may run the node: a fully connected layer, or a convolution of one group."""
    if node.op == "FullyConnected":
        return True
    return node.op == "Conv" and node.int("group") == 1


def thinned(node: Node, pattern: LayerPattern) -> Node:
    """`node` with the share of its weights that `pattern` leaves, the others zero."""
    x, w, *rest = node.inputs
    assert w.value is not None
    rows = w.value.reshape(w.shape[0], -1)
    kept = _kept(rows.shape[0], rows.shape[1], pattern)
    value = np.where(kept, np.where(rows == 0, 1, rows), 0).astype(w.value.dtype).reshape(w.shape)
    return replace(node, inputs=(x, replace(w, value=value), *rest))


def _kept(outputs: int, inputs: int, pattern: LayerPattern) -> Array:
    """Which weights [outputs, inputs] stay."""
    height, width = pattern.block
    rows, columns = -(-outputs // height), -(-inputs // width)
    count = max(1, round(pattern.density * columns))
    blocks = np.zeros((rows, columns), bool)
    for row in range(rows):
        blocks[row, (np.arange(count) * columns // count + row) % columns] = True
    whole: Array = blocks.repeat(height, 0).repeat(width, 1)[:outputs, :inputs]
    return whole
