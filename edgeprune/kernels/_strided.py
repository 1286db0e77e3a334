"""Copies of a tensor's elements to a dense output, with adjacent axes merged: Slice, Transpose and Expand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeprune.graph.ir import Node, Shape, Tensor

__all__ = ["ELEMENT_TYPES", "StridedCopy", "copy_of", "dense_strides", "move_statement", "strided_copy"]

ELEMENT_TYPES: Mapping[str, str] = MappingProxyType(
    {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "float32": "float"}
)
"""C types by dtype."""

_CYCLES_PER_CALL = 20
_CYCLES_PER_WORD = 3
_CYCLES_PER_ELEMENT = 8
_CYCLES_PER_LOOP = 8


@dataclass(frozen=True)
class StridedCopy:
    """The output in order, block by block: block [i0, i1, ...] is `block` elements from offset + sum(i * stride).

    `extents` run from outer to inner; `strides` and `offset` are in elements of the input. No extents: one block.
    """

    extents: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    block: int

    @property
    def index(self) -> str:
        """The C index expression of a block's first element in loop variables i0, i1, ..."""
        terms = [
            f"i{axis} * {stride}" if stride != 1 else f"i{axis}"
            for axis, stride in enumerate(self.strides)
            if stride
        ]
        return " + ".join([*([str(self.offset)] if self.offset or not terms else []), *terms])

    @property
    def name(self) -> str:
        """A C name that tells extents, strides and block."""
        loops = [f"{extent}s{stride}" for extent, stride in zip(self.extents, self.strides, strict=True)]
        return "_".join([*loops, str(self.block)]).replace("-", "m")

    def cycles(self, element_bytes: int) -> int:
        """An estimate for a core that loads and stores a word in `_CYCLES_PER_WORD`."""
        loops, blocks = 0, 1
        for extent in self.extents:
            blocks *= extent
            loops += blocks
        words = -(-self.block * element_bytes // 4)
        each = _CYCLES_PER_ELEMENT if self.block == 1 else _CYCLES_PER_CALL + _CYCLES_PER_WORD * words
        return _CYCLES_PER_LOOP * (loops - blocks) + blocks * each


def dense_strides(shape: Shape) -> tuple[int, ...]:
    """Elements between neighbours along each axis of a dense tensor."""
    reversed_strides = itertools.accumulate(reversed(shape), lambda step, extent: step * extent, initial=1)
    return tuple(reversed(list(reversed_strides)[:-1]))


def strided_copy(shape: Shape, strides: tuple[int, ...], offset: int = 0) -> StridedCopy:
    """The shortest loop nest over an output of `shape` whose element i lies at offset + sum(i * strides)."""
    merged: list[tuple[int, int]] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if merged and merged[-1][1] == stride * extent:
            merged[-1] = (merged[-1][0] * extent, stride)
        else:
            merged.append((extent, stride))
    block = merged.pop()[0] if merged and merged[-1][1] == 1 else 1
    return StridedCopy(
        tuple(extent for extent, _ in merged), tuple(stride for _, stride in merged), offset, block
    )


def copy_of(node: Node) -> StridedCopy | None:
    """How a Slice, Transpose or Expand node copies; None for another operator."""
    x, y = node.inputs[0], node.output
    strides = dense_strides(x.shape)
    if node.op == "Transpose":
        return strided_copy(y.shape, tuple(strides[axis] for axis in node.ints("perm")))
    if node.op == "Expand":
        kept = zip(x.shape, y.shape, strides, strict=True)
        return strided_copy(y.shape, tuple(s if before == after else 0 for before, after, s in kept))
    if node.op == "Slice":
        offset = sum(start * stride for start, stride in zip(node.ints("starts"), strides, strict=True))
        steps = zip(node.ints("steps"), strides, strict=True)
        return strided_copy(y.shape, tuple(step * stride for step, stride in steps), offset)
    return None


def move_statement(x: str, y: str, tensor: Tensor) -> str:
    """C that moves the bytes of `tensor` from `x` to `y`; compilers drop it where both are one address."""
    return f"memmove({y}, {x}, {tensor.bytes});"
