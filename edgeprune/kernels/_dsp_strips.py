"""The frame of sparse convolutions that read their windows from prepared rows, strip by strip.

The input rows that a strip of a few output rows reads are prepared once, padding included, in a band of scratch; every
window of the strip then starts at its own place there, and an input is as many bytes from the start for every pixel.
Four pixels, side by side in a row of outputs, are a group; the function for groups takes several of them in turn with
each pair of channels, so that a pair's weights leave flash once. The last group of a row that fours do not divide
reaches back over pixels that are stored already, and stores the same again: the band still holds their inputs.

In place. A strip's rows are prepared before its first output is stored, later strips prepare the rows they share with
it anew: `RowStrips.least_distance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost
from edgeprune.kernels._dsp_block import LARGEST_OUTPUTS
from edgeprune.kernels._dsp_conv import (
    is_flat,
    least_distance,
    leaves_height,
    leaves_width,
    output_pixels,
    pair_stays_cached,
)
from edgeprune.kernels._dsp_sparse import frame_geometry, sparse_convolution
from edgeprune.kernels.base import Code, Function, LayerNames
from edgeprune.ops._convolution import ConvGeometry
from edgeprune.templating import render

__all__ = [
    "PIXELS",
    "RowStrips",
    "cached_groups",
    "emit_strips",
    "sparse_strips",
    "strip_geometry",
    "strip_heights",
]

PIXELS = 4
"""Of a group."""
_HEIGHT = 4
"""Rows of outputs of a strip where rows of inputs would be prepared more than once: then few are."""
_GROUPS = 4
"""At a time, at most, where weights come from slow flash."""
_CALL_INSTRUCTIONS = 40
"""Of the walk over the image, for every call of the function for groups."""


@dataclass(frozen=True)
class RowStrips:
    """Strips of up to `height` rows of outputs of `g`, computed up to `groups` groups of 4 pixels at a time.

    Prepared rows take `row_bytes`, a pixel's window begins `pixel_bytes` behind that of the one before.
    """

    g: ConvGeometry
    height: int
    groups: int
    row_bytes: int
    pixel_bytes: int

    @property
    def span(self) -> int:
        """Rows from a window's first to its last."""
        return (self.g.kernel_height - 1) * self.g.dilation_height + 1

    @property
    def step(self) -> int:
        """Rows of the band from one output row's windows to those of the next: rows between windows are left out."""
        return min(self.g.stride_height, self.span)

    @property
    def band_rows(self) -> int:
        """Of a strip of the full height."""
        return self.rows_of(min(self.height, self.g.out_height))

    @property
    def band_bytes(self) -> int:
        return self.band_rows * self.row_bytes

    @property
    def calls(self) -> int:
        """Of the function for groups."""
        whole, rest = divmod(self.g.out_width // PIXELS, self.groups)
        in_a_row = whole + (rest > 0) + (self.g.out_width % PIXELS > 0)
        return self.g.batch * self.g.out_height * in_a_row

    @property
    def blocks(self) -> int:
        """Groups of 4 pixels in all."""
        return self.g.batch * self.g.out_height * -(-self.g.out_width // PIXELS)

    @property
    def prepared_rows(self) -> int:
        """Rows that are prepared for all strips together."""
        whole, rest = divmod(self.g.out_height, self.height)
        return self.g.batch * (whole * self.rows_of(self.height) + (self.rows_of(rest) if rest else 0))

    def rows_of(self, height: int) -> int:
        """Rows of the band that so many rows of outputs read."""
        return (height - 1) * self.step + self.span

    @property
    def least_distance(self) -> int:
        """The least address(input) - address(output), not below 0, at which no unread input is overwritten."""
        g = self.g
        rows = np.arange(self.height, g.out_height, self.height)
        images = np.arange(g.batch)[:, None] * g.out_height
        ends = np.concatenate([(images + rows).ravel(), np.arange(1, g.batch) * g.out_height])
        return least_distance(g, np.sort(ends) * g.out_width)

    def read_waits(self, device: Device, size: int, pair_size: float) -> float:
        """Cycles that reading `size` bytes of constants waits for flash, those of a pair of channels for each group."""
        loads = self.blocks * size / 4
        if self.groups == 1:
            return _cost.read_waits(device, size, loads=loads, passes=self.blocks)
        once = _cost.read_waits(device, size, loads=0, passes=self.calls)
        again = _cost.read_waits(device, round(pair_size), loads=0, passes=self.blocks / self.calls)
        first = _cost.read_waits(device, round(pair_size), loads=0)
        loaded = _cost.read_waits(device, size, loads=loads) - _cost.read_waits(device, size, loads=0)
        return once + loaded + self.calls * (again - first) * size / pair_size

    def cycles(self, device: Device, row: Mapping[_cost.Kind, float]) -> float:
        """Of the walk and of preparing rows, each of which takes the instructions `row`."""
        instructions = {kind: self.prepared_rows * count for kind, count in row.items()}
        walk = {_cost.Kind.SCALAR: float(self.calls * _CALL_INSTRUCTIONS)}
        return _cost.cycles(device, instructions) + _cost.cycles(device, walk)


def strip_geometry(node: Node) -> ConvGeometry:
    """`node`, a Conv or FullyConnected, as a convolution whose rows hold whole groups where that can be.

    Pixels of a pointwise layer may be laid out in rows of any length.
    """
    g = frame_geometry(node)
    pixels = output_pixels(g)
    if not is_flat(g) or pixels % PIXELS:
        return g
    groups = max(n for n in range(1, _GROUPS + 1) if pixels // PIXELS % n == 0)
    height, width = pixels // PIXELS // groups, PIXELS * groups
    return replace(g, batch=1, in_height=height, out_height=height, in_width=width, out_width=width)


def sparse_strips(nodes: tuple[Node, ...], device: Device) -> tuple[ConvGeometry, Array] | None:
    """`strip_geometry` and weights [outputs, K] of the one of `nodes`, where strips take it and zeros may pay.

    A row of outputs has a group's pixels, and a row of inputs one for every column of a stride.
    """
    found = sparse_convolution(nodes, device, LARGEST_OUTPUTS)
    if found is None:
        return None
    g = strip_geometry(nodes[0])
    return (g, found[1]) if g.out_width >= PIXELS and g.in_width >= g.stride_width else None


def strip_heights(g: ConvGeometry) -> tuple[int, ...]:
    """The heights of strips worth offering: of least memory and, where rows of outputs share inputs, of least time."""
    shares = (g.kernel_height - 1) * g.dilation_height >= g.stride_height
    return (1, _HEIGHT) if shares and g.out_height >= _HEIGHT else (1,)


def cached_groups(g: ConvGeometry, pair_bytes: int, device: Device) -> int:
    """How many groups at a time: several where flash is slow and its cache holds a pair's weights, wherever they start.

    Args:
        g: the convolution, as of `sparse_strips`.
        pair_bytes: of the constants that a pair of channels reads, the longest.
        device: whose flash and data cache they are read through.
    """
    return min(_GROUPS, g.out_width // PIXELS) if pair_stays_cached(pair_bytes, device) else 1


def emit_strips(
    node: Node,
    names: LayerNames,
    strips: RowStrips,
    form: Literal["planes", "expanded"],
    column_words: int,
    prepare: Function,
    compute: tuple[Function, ...],
) -> Code:
    """The C of `node` by `prepare`, called for every row of the band, and the last of `compute`, for groups.

    "planes": a row is bytes of the input's zero point where nothing is written; the function for groups also takes the
    places. "expanded": words of `_dsp`, odd and even. Before the band lie `column_words` words of scratch.
    """
    g, prefix = strips.g, names.prefix
    shape = f"{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}"
    name = f"{compute[-1].name}_{shape}_{strips.height}"
    values = {
        "prefix": prefix,
        "name": name,
        "g": g,
        "s": strips,
        "form": form,
        "column_words": column_words,
        "prepare": prepare.name,
        "compute": compute[-1].name,
        "leaves_height": leaves_height(g),
        "leaves_width": leaves_width(g),
        "pixels": PIXELS,
    }
    layer = Function(name, render("kernels/_dsp_strips.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    places = f"{names.constants['places']}, " if form == "planes" else ""
    scratch = f"({prefix}_u32_t *)(void *){names.scratch}"
    zeros = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    body = (
        f"{name}({x}, {names.constants['stream']}, {places}{y}, {scratch}, {zeros}{node.output.zero_point});"
    )
    return Code((*compute, prepare, layer), body)
