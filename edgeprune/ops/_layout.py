"""Lowering of operators that work along one axis, which the IR wants to be the last."""

from __future__ import annotations

from collections.abc import Callable

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Attributes, Node, Tensor

__all__ = ["keeps_last_axis", "with_axis_last"]


def with_axis_last(
    build: Builder, x: Tensor, y: Tensor, axis: int, emit: Callable[[Tensor, Tensor], None]
) -> None:
    """Append what `emit` appends from x to y (of one shape before the last axis), with `axis` moved to the end.

    Args:
        build: where nodes go.
        x: the operator's input.
        y: its output, of the same rank.
        axis: counted from 0.
        emit: appends the operator from a tensor whose last axis is `axis` to another.
    """
    rank = len(x.shape)
    if axis == rank - 1:
        emit(x, y)
        return
    perm = (*(other for other in range(rank) if other != axis), axis)
    result = build.tensor(y.name, tuple(y.shape[old] for old in perm), y.dtype, y.quant)
    emit(build.transpose(x, perm), result)
    build.transpose(result, tuple(perm.index(old) for old in range(rank)), output=y)


def keeps_last_axis(node: Node, perm: tuple[int, ...]) -> Attributes | None:
    """`Operator.permute` of an operator along the last axis: it minds only where that axis goes."""
    return node.attrs if perm[-1] == len(perm) - 1 else None
