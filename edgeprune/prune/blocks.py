"""Blocks of weights that stay or go together, in the order in which kernels read them.

A layer's weights are a matrix: an output to a row, inputs in memory's order, all channels of a position before the next
position of the window. A block is some neighbouring rows times some neighbouring columns; those at the edges are what
is left of one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["SINGLE", "Block", "block_mask", "block_scores", "has_blocks"]

Block = tuple[int, int]
"""Outputs and inputs."""

SINGLE: Block = (1, 1)


def has_blocks(weight: torch.Tensor) -> bool:
    """Whether `weight` [out, in, ...] is of a kind that sparse kernels run: a matrix, or a kernel over channels."""
    return weight.dim() == 2 or (weight.dim() > 2 and weight.shape[1] > 1)


def block_scores(weight: torch.Tensor, block: Block) -> torch.Tensor:
    """What each block of `weight` [out, in, ...] is worth: the root of the mean of its squares, flat."""
    squares = _matrix(weight).double().square()
    return (_sums(squares, block) / _sums(torch.ones_like(squares), block)).sqrt().flatten()


def block_mask(kept: torch.Tensor, weight: torch.Tensor, block: Block) -> torch.Tensor:
    """Of which of the `weight`'s elements the block is `kept`, a flat mask in the order of `block_scores`."""
    rows, columns = _matrix(weight).shape
    height, width = block
    small = kept.reshape(-(-rows // height), -(-columns // width))
    whole = small.repeat_interleave(height, 0).repeat_interleave(width, 1)[:rows, :columns]
    channels_last = whole.reshape(weight.shape[0], *weight.shape[2:], weight.shape[1])
    return channels_last.movedim(-1, 1)


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    return weight.movedim(1, -1).reshape(weight.shape[0], -1)


def _sums(matrix: torch.Tensor, block: Block) -> torch.Tensor:
    """The sum of each block: [blocks of rows, blocks of columns]."""
    height, width = block
    padded = F.pad(matrix, (0, -matrix.shape[1] % width, 0, -matrix.shape[0] % height))
    return padded.reshape(padded.shape[0] // height, height, -1, width).sum((1, 3))
