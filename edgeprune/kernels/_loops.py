"""Loop nests over elementwise operands, with adjacent axes merged where every operand allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.graph.ir import Tensor

__all__ = ["Loops", "elementwise_loops"]


@dataclass(frozen=True)
class Loops:
    """`extents` from outer to inner; `strides[operand][axis]` in elements, 0 where the operand is broadcast."""

    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    def index(self, operand: int) -> str:
        """The C index expression of `operand` in loop variables i0, i1, ..."""
        terms = [
            f"i{axis} * {step}" if step != 1 else f"i{axis}"
            for axis, step in enumerate(self.strides[operand])
            if step
        ]
        return " + ".join(terms) or "0"


def elementwise_loops(output: Tensor, operands: Sequence[Tensor]) -> Loops:
    """The shortest loop nest that visits `output` in order and finds each operand's element."""
    rank = len(output.shape)
    strides = [_broadcast_strides(operand.shape, rank) for operand in operands]
    merged: list[tuple[int, list[int]]] = []
    for axis, extent in enumerate(output.shape):
        if extent == 1:
            continue
        steps = [stride[axis] for stride in strides]
        if merged and all(outer == inner * extent for outer, inner in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * extent, steps)
        else:
            merged.append((extent, steps))
    merged = merged or [(1, [0] * len(strides))]
    by_operand = zip(*(steps for _, steps in merged), strict=True)
    return Loops(tuple(extent for extent, _ in merged), tuple(tuple(steps) for steps in by_operand))


def _broadcast_strides(shape: tuple[int, ...], rank: int) -> list[int]:
    padded = (1,) * (rank - len(shape)) + tuple(shape)
    strides, step = [0] * rank, 1
    for axis in reversed(range(rank)):
        strides[axis] = 0 if padded[axis] == 1 else step
        step *= padded[axis]
    return strides
