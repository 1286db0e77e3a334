"""How Helium's convolutions walk over an image: by runs of pixels whose windows are each one run of bytes.

Where a window is one run of the image (pointwise, or one row high without padding) it is read in place. Otherwise the
inputs of an output row are first laid out as a strip (see `_mve_strips`), in which every window is one run: an input
is copied once per output row that reads it, not once per window. What multiplies is a function of the kernel's own,
which takes so many pixels side by side, three or two at a time, all channels of these before it stores the first.

Overlap: the strips of rows that are computed together are complete before the first of their outputs is stored, and a
block's sums over all channels are complete before the block's first output is; `least_distance` compares what is
stored with what is still read. Tiles of channels read a direct convolution's inputs again, so these must not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve, _mve_strips
from edgeprune.kernels._fully_connected import as_pointwise
from edgeprune.kernels._mve_cost import Work, strip_work
from edgeprune.kernels._sparsity import weight_rows
from edgeprune.kernels.base import Code, Function, LayerNames, weights_of
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = [
    "Order",
    "Pixels",
    "Sum",
    "block_ends",
    "emit_walk",
    "is_direct",
    "is_walked",
    "layer_name",
    "least_distance",
    "places",
    "runs",
    "sparse_walk",
    "strip_bytes",
    "sums_bytes",
    "walk_work",
    "walked_geometry",
    "window_rows",
]

_SUMS = 64
"""Output channels whose sums lie next to each other in scratch; a block of pixels has as many of each."""


@dataclass(frozen=True)
class Order:
    """What is computed together: `rows` rows of outputs (of windows that are the input's own: all), by tiles of
    `tile` output channels."""

    rows: int
    tile: int

    @property
    def name(self) -> str:
        """Distinguishes the candidate."""
        return f"_rows{self.rows}_tile{self.tile}"


@dataclass(frozen=True)
class Pixels:
    """What multiplies: the last of `functions`, as `pixels` of the shared template.

    It has `scratch_bytes` of scratch, sums first. `steps` and `pair_bytes` are for kernels whose channels all have
    the same number of inputs.
    """

    functions: tuple[Function, ...]
    scratch_bytes: int
    steps: int = 0
    pair_bytes: int = 0


@dataclass(frozen=True)
class Sum:
    """The sum behind a convolution, whose output is `output`: its function, and arguments of the layer in C.

    A block's own outputs go to `rows`. `numbers` are the multipliers of both operands, the convolution's first, the
    constant and the limits.
    """

    function: Function
    output: str
    rows: str
    shortcut: str
    numbers: tuple[int, ...]


def sparse_walk(nodes: tuple[Node, ...], device: Device) -> tuple[ConvGeometry, Array] | None:
    """Geometry and weights [outputs, K] in a window's order of the one of `nodes`, where zeros may pay.

    That is a convolution of one group, or rows times a matrix, to several pixels, that the walk knows.
    """
    if not device.mve or len(nodes) != 1 or nodes[0].op not in ("Conv", "FullyConnected"):
        return None
    (node,) = nodes
    if weight_rows(node) is None or (node.op == "Conv" and node.int("group") != 1):
        return None
    g = walked_geometry(node)
    if g.batch * g.out_height * g.out_width == 1 or not is_walked(g):
        return None
    return g, window_rows(weights_of(nodes)[node.inputs[1].name])


def walked_geometry(node: Node) -> ConvGeometry:
    """`node`, a Conv or FullyConnected, as a convolution."""
    return conv_geometry(node) if node.op == "Conv" else as_pointwise(node)


def layer_name(stem: str, g: ConvGeometry) -> str:
    """A layer's function, by its shape."""
    return f"{stem}_{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"


def is_direct(g: ConvGeometry) -> bool:
    """Whether every window is one run of the input."""
    return g.kernel_height == 1 and g.dilation_width == 1 and not g.is_padded


def is_walked(g: ConvGeometry) -> bool:
    """Whether the walk knows the geometry `g`: some input is below a window."""
    return is_direct(g) or bool(_mve_strips.Strip.of(g).copies)


def window_rows(values: Array) -> Array:
    """Weights [out, K] or [out, height, width, in] in the order of a window's bytes, columns outermost: [out, K]."""
    ordered = values.transpose(0, 2, 1, 3) if values.ndim == 4 else values
    return ordered.reshape(len(values), -1)


def sums_bytes(channels: int) -> int:
    """Scratch of a block's sums: three pixels' runs of 64 channels, the last one's read in whole vectors."""
    last = (channels - 1) % _SUMS + 1
    return 4 * (3 * _SUMS * ((channels - 1) // _SUMS) + 2 * _SUMS + _mve.padded(last))


def places(g: ConvGeometry) -> Array | None:
    """Where columns go that are laid out several at a time."""
    if is_direct(g):
        return None
    return _mve_strips.scattered(
        _mve_strips.Strip.of(g).copies, g.in_channels, g.kernel_height * g.in_channels
    )


def strip_bytes(g: ConvGeometry) -> int:
    """Scratch of a row's strip."""
    if is_direct(g):
        return 0
    size = _mve_strips.Strip.of(g).columns * g.kernel_height * g.in_channels + -g.taps % _mve.LANES
    return -(-size // 8) * 8


def runs(g: ConvGeometry) -> tuple[int, int]:
    """Runs of windows the same number of bytes apart, and pixels in each: rows, or all pixels where they can be."""
    pixels = g.batch * g.out_height * g.out_width
    flat = is_direct(g) and g.stride_height == g.stride_width == g.kernel_width == 1
    return (1, pixels) if flat else (g.batch * g.out_height, g.out_width)


def block_ends(count: int) -> Array:
    """Pixels done after each block of a run of `count`, as the function `pixels` makes them: int [blocks]."""
    sizes = []
    left = count
    while left > 0:
        sizes.append(1 if left == 1 else 3 if left % 3 == 0 else 2)
        left -= sizes[-1]
    return np.cumsum(np.array(sizes, np.int64))


def least_distance(g: ConvGeometry, order: Order) -> int | None:
    """Least address(input) - address(output); None where they must not overlap."""
    if not is_direct(g):
        return _mve_strips.row_distance(g, order.rows)
    if order.tile < g.out_channels:
        return None
    times, count = runs(g)
    ends = np.concatenate([run * count + block_ends(count) for run in range(times)])[:-1]
    n, pixel = np.divmod(ends, g.out_height * g.out_width)
    oy, ox = np.divmod(pixel, g.out_width)
    unread = (n * g.in_height + oy * g.stride_height) * g.in_width + ox * g.stride_width
    return max(0, int((ends * g.out_channels - unread * g.in_channels).max(initial=0)))


def walk_work(g: ConvGeometry) -> Work:
    """Of laying out the strips of all rows."""
    if is_direct(g):
        return Work()
    times, _ = runs(g)
    strip = strip_work(_mve_strips.Strip.of(g), g.in_channels, places(g) is not None)
    return times * g.kernel_height * strip


def emit_walk(
    node: Node,
    g: ConvGeometry,
    names: LayerNames,
    order: Order,
    stem: str,
    pixels: Pixels,
    behind: Sum | None = None,
) -> Code:
    """The C of `node` with the constants "stream", "scaling" and, with `places`, "places"; its function is `stem`.

    With a sum `behind` it, `pixels` takes that too.
    """
    prefix, scaling, direct = names.prefix, _mve.Scaling.of(node), is_direct(g)
    times, count = runs(g)
    values = {
        "name": stem,
        "prefix": prefix,
        "g": g,
        "scaling": scaling,
        "steps": pixels.steps,
        "pair_bytes": pixels.pair_bytes,
        "pixels": pixels.functions[-1].name,
        "order": order,
        "direct": direct,
        "runs": times,
        "count": count,
        "strip": None if direct else _mve_strips.Strip.of(g),
        "strip_bytes": strip_bytes(g),
        "pixels_bytes": pixels.scratch_bytes,
        "places": places(g) is not None,
        "behind": behind,
    }
    layer = Function(stem, render("kernels/_mve_conv.j2", values))
    x, y = (
        names.tensors[name] for name in (node.inputs[0].name, behind.output if behind else node.output.name)
    )
    constants = f"{names.constants['stream']}, {names.constants['scaling']}"
    more = [] if places(g) is None else [names.constants["places"]]
    more += [] if direct else [str(node.inputs[0].zero_point)]
    more += [] if behind is None else [behind.rows, behind.shortcut, *map(str, behind.numbers)]
    body = f"{stem}({', '.join([x, constants, y, names.scratch, *more, scaling.arguments])});"
    copy = () if direct else (_mve_strips.copy_function(prefix, places(g)),)
    return Code((*pixels.functions, *copy, layer), body)
