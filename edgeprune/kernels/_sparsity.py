"""Which zeros of a layer's weights a sparse kernel can skip: columns of a block of outputs, words, single weights.

A layer is a matrix of weights [outputs, K], K inputs of a window in the order of its memory. What is kept is a superset
of what is not zero, so that every pattern that a network arrives with, or that pruning made, is found in its values.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels.base import Candidate

__all__ = [
    "FEWEST_ZEROS",
    "LARGEST_INPUTS",
    "OutputBlock",
    "block_ranges",
    "block_sizes",
    "fastest_and_smallest",
    "gathered_density",
    "gathered_words",
    "kept_words",
    "output_blocks",
    "place_bytes",
    "place_type",
    "weight_rows",
]

FEWEST_ZEROS = 0.1
"""Share of zeros below which no sparse kernel is worth asking about: none breaks even there."""

LARGEST_INPUTS = (1 << 16) - 4
"""What a place reaches, and words of four besides."""
_BLOCK_SIZES = (8, 16, 32, 64)
"""Outputs that may share their inputs, besides all of them."""
_LARGEST_BLOCK = (1 << 16) - 1
"""Outputs that a block's header has 16 bits for."""
_BYTE_PLACES = 256

OutputBlock = tuple[int, int, npt.NDArray[np.int64]]
"""First output, the one after the last, and the inputs that any of the block's outputs has a weight for."""


def weight_rows(node: Node) -> Array | None:
    """The weights of a node with inputs x, w, b as int8 [outputs, K]; None while absent, wider, or nearly dense."""
    w = node.inputs[1]
    if w.value is None or w.dtype != "int8":
        return None
    zeros = w.value.size - np.count_nonzero(w.value)
    if zeros < FEWEST_ZEROS * w.value.size:
        return None
    return w.value.reshape(w.shape[0], -1)


def block_sizes(outputs: int, multiple: int) -> tuple[int, ...]:
    """The sizes worth asking about of blocks that share inputs, ascending: whole multiples of `multiple`."""
    whole = min(-(-outputs // multiple), _LARGEST_BLOCK // multiple) * multiple
    return tuple(sorted({min(size, whole) for size in (*_BLOCK_SIZES, whole)}))


def fastest_and_smallest(offered: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The one of `offered` with the fewest cycles, and that of the least flash where it is another."""
    found = tuple(offered)
    fastest = min(found, key=lambda candidate: candidate.cycles)
    smallest = min(found, key=lambda candidate: candidate.flash_bytes)
    return (fastest,) if fastest is smallest else (fastest, smallest)


def block_ranges(outputs: int, size: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """`outputs` in blocks of `size`, as (first, end), each a whole multiple of `multiple`, which divides `size`.

    A rest starts earlier, so that it is whole: the outputs that it shares with those before are computed twice.
    """
    assert outputs >= multiple
    assert size % multiple == 0
    found = [(first, min(first + size, outputs)) for first in range(0, outputs, size)]
    first, end = found.pop()
    start = first - -(end - first) % multiple
    if start >= 0:
        return (*found, (start, end))
    return ((0, outputs // multiple * multiple), (outputs - multiple, outputs))


def output_blocks(rows: Array, size: int, multiple: int) -> tuple[OutputBlock, ...]:
    """The blocks of `block_ranges` of the matrix `rows` [outputs, K], with the inputs that each keeps."""
    return tuple(
        (first, end, np.flatnonzero(rows[first:end].any(axis=0)))
        for first, end in block_ranges(len(rows), size, multiple)
    )


def kept_words(rows: Array, outputs: int) -> npt.NDArray[np.bool_]:
    """Which words of four inputs have a weight for any of `outputs` neighbouring rows: [ceil(rows / outputs), words].

    The last rows are those before the end, as many as the others.
    """
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))) != 0
    words = padded.reshape(len(rows), -1, 4).any(axis=2)
    starts = [max(0, min(first, len(rows) - outputs)) for first in range(0, len(rows), outputs)]
    kept: npt.NDArray[np.bool_] = np.stack([words[start : start + outputs].any(axis=0) for start in starts])
    return kept


def gathered_words(kept: Array) -> int:
    """Words of four that hold a block's `kept` inputs, at least one."""
    return max(1, -(-len(kept) // 4))


def gathered_density(rows: Array, blocks: tuple[OutputBlock, ...]) -> float:
    """Share of the weights `rows` [outputs, K] that the blocks store, at most 1."""
    stored = sum((end - first) * 4 * gathered_words(kept) for first, end, kept in blocks)
    return min(1.0, stored / rows.size)


def place_type(inputs: int) -> str:
    """The unsigned type of a place among so many inputs."""
    assert inputs <= LARGEST_INPUTS
    return "uint8" if inputs <= _BYTE_PLACES else "uint16"


def place_bytes(inputs: int, blocks: tuple[OutputBlock, ...]) -> int:
    """Of a place among so many inputs for each that the blocks gather."""
    return sum(4 * gathered_words(kept) for *_, kept in blocks) * np.dtype(place_type(inputs)).itemsize
