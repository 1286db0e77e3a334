"""Rows of input columns from which Helium's kernels read the windows of an output row.

A convolution's windows become contiguous when an output row's input columns are laid side by side, each with the
kernel's rows one below the other: window x starts `pitch` bytes after window x - 1, and overlapping windows share their
columns. `Strip` says which columns there are and where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.kernels._mve import LANES
from edgeprune.kernels.base import Constant, Function
from edgeprune.ops._convolution import ConvGeometry
from edgeprune.templating import render

__all__ = ["Copy", "Strip", "copy_function", "places_constant", "row_distance", "scattered"]


@dataclass(frozen=True)
class Copy:
    """Input columns that come from the image: the first one's places and the steps, in columns, and how many."""

    to: int
    to_step: int
    source: int
    source_step: int
    count: int


@dataclass(frozen=True)
class Strip:
    """The columns that the windows of an output row are made of; `window_step` columns lie between two windows.

    Columns that no copy writes are padding.
    """

    columns: int
    window_step: int
    copies: tuple[Copy, ...]

    @staticmethod
    def of(g: ConvGeometry) -> Strip:
        """Columns side by side where neighbouring windows share them, else every window's own."""
        if g.dilation_width == 1 and g.stride_width < g.kernel_width:
            columns = (g.out_width - 1) * g.stride_width + g.kernel_width
            first, end = g.pad_left, min(columns, g.pad_left + g.in_width)
            return Strip(columns, g.stride_width, _some([Copy(first, 1, 0, 1, end - first)]))
        copies = [_of_tap(g, tap) for tap in range(g.kernel_width)]
        return Strip(g.out_width * g.kernel_width, g.kernel_width, _some(copies))


def _some(copies: list[Copy]) -> tuple[Copy, ...]:
    return tuple(copy for copy in copies if copy.count > 0)


def _of_tap(g: ConvGeometry, tap: int) -> Copy:
    """The columns under one tap of the kernel, window by window."""
    x = np.arange(g.out_width) * g.stride_width - g.pad_left + tap * g.dilation_width
    inside = np.flatnonzero((x >= 0) & (x < g.in_width))
    if not len(inside):
        return Copy(0, 0, 0, 0, 0)
    first = int(inside[0])
    return Copy(first * g.kernel_width + tap, g.kernel_width, int(x[first]), g.stride_width, len(inside))


def places_constant(places: Array | None) -> tuple[Constant, ...]:
    """`places` of `scattered` as a constant, where there are any."""
    return (
        () if places is None else (Constant("places", "uint8_t", places, "of neighbouring columns", align=1),)
    )


def scattered(copies: tuple[Copy, ...], channels: int, column_bytes: int) -> Array | None:
    """Where the bytes of several columns next to each other go, counted from the first: uint8 [16].

    None where a vector does not hold two columns, where columns do not lie side by side, or where a place is too far
    for a byte.
    """
    if len(copies) != 1 or 2 * channels > LANES or not copies[0].to_step == copies[0].source_step == 1:
        return None
    column, byte = np.divmod(np.arange(LANES // channels * channels), channels)
    places = column * column_bytes + byte
    if places[-1] > np.iinfo(np.uint8).max:
        return None
    return np.pad(places, (0, LANES - len(places))).astype(np.uint8)


def copy_function(prefix: str, places: Array | None) -> Function:
    """The function that copies input columns to where they go: to `places` of `scattered`, or run by run."""
    part = "copy" if places is None else "scatter"
    name = f"{prefix}_mve_{part}"
    return Function(name, render("kernels/_mve_strips.j2", {"part": part, "prefix": prefix, "name": name}))


def row_distance(g: ConvGeometry, rows: int = 1) -> int:
    """Least address(input) - address(output) of a kernel that copies what `rows` output rows read before it stores any.

    When the rows of an image before row r are stored, its first row still to be read is the top one under row r; after
    its last row it is the next image's first.
    """
    image, row = g.in_height * g.in_width * g.in_channels, g.out_width * g.out_channels
    starts = np.arange(0, g.out_height, rows, dtype=np.int64)
    top = np.clip(starts * g.stride_height - g.pad_top, 0, g.in_height)
    n = np.arange(g.batch, dtype=np.int64)[:, None]
    stored = (n * g.out_height + starts) * row
    unread = n * image + top * g.in_width * g.in_channels
    return max(0, int((stored - unread).max(initial=0)))
