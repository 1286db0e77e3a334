"""Convolution for cores with Helium: blocks of 3 or 2 output pixels by 2 output channels, any geometry.

Per 16 inputs a block of 3 by 2 takes 5 loads and 6 VMLADAVA in a tail-predicated loop, so that no number of input
channels needs padding in RAM. Where a window is one run of the image (pointwise, or one row high without padding) it
is read in place. Otherwise the inputs of an output row are first laid out as a strip (see `_mve`), in which every
window is one run: an input is copied once per output row that reads it, not once per window.

Every block of pixels reads all weights. Where they are more than a slow flash's cache holds, other candidates take a
tile of output channels that it does hold through all blocks of a row, of several rows, or of the image.

Overlap: the strips of rows that are computed together are complete before the first of their outputs is stored, and a
block's sums over all channels are complete before the block's first output is; `_least_distance` compares what is
stored with what is still read. Tiles of channels read a direct convolution's inputs again, so these must not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _mve, _mve_strips
from edgeprune.kernels._mve_cost import Work, cycles, pixels_work, strip_work
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "ConvMve", "candidates_of", "emit_conv", "pack_conv"]

_CODE_BYTES = 300
"""Of a layer's own function, about; helpers are shared by all layers."""
_SUMS = 64
"""Output channels whose sums lie next to each other in scratch; a block of pixels has as many of each."""


class ConvMve(KernelFamily):
    """int8 Conv with one group."""

    name = "conv_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        if nodes[0].inputs[1].dtype != "int8" or not (_is_direct(g) or _mve_strips.Strip.of(g).copies):
            return ()
        return candidates_of(self.name, self.name, nodes[0], g, device)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        places = _places(conv_geometry(candidate.nodes[0]))
        return (*pack_conv(candidate.nodes[0], weights), *_mve_strips.places_constant(places))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return emit_conv(candidate, conv_geometry(candidate.nodes[0]), names)


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


def candidates_of(
    family: str, name: str, node: Node, g: ConvGeometry, device: Device
) -> tuple[Candidate, ...]:
    """`node`, with inputs x, w, b, as a convolution of geometry `g`: at least one candidate."""
    scaling = _mve.Scaling.of(node)
    constants = _mve.stream_bytes(g.out_channels, g.taps, 2) + scaling.flash_bytes
    plain = Order(1, g.out_channels)
    return tuple(
        Candidate(
            family,
            name if order == plain else name + order.name,
            (node,),
            flash_bytes=_CODE_BYTES + constants,
            cycles=_cycles(g, scaling, order, device),
            scratch_bytes=_sums_bytes(order.tile) + order.rows * _strip_bytes(g),
            overlap=(_least_distance(g, order),),
            parameters={"rows": order.rows, "tile": order.tile},
        )
        for order in (plain, *_tiled(g, device))
    )


def pack_conv(node: Node, weights: Weights) -> tuple[Constant, ...]:
    """The constants of `node`, with inputs x, w, b: weights with the kernel's columns outermost, as strips are."""
    x, w, b = node.inputs
    values = weights[w.name]
    rows = (values.transpose(0, 2, 1, 3) if values.ndim == 4 else values).reshape(len(values), -1)
    stream = _mve.interleaved_stream(rows, _mve.initial_sums(rows, weights[b.name], x.zero_point), 2)
    comment = "initial sums and weights per channel pair"
    return (Constant("stream", "int8_t", stream, comment, align=8), _mve.Scaling.of(node).constant())


def emit_conv(candidate: Candidate, g: ConvGeometry, names: LayerNames) -> Code:
    """The C of a candidate of `candidates_of`."""
    (node,), prefix = candidate.nodes, names.prefix
    scaling, form = _mve.Scaling.of(node), _form(g)
    order = Order(int(candidate.parameters["rows"]), int(candidate.parameters["tile"]))
    direct = _is_direct(g)
    stem = (
        f"{prefix}_conv_{g.kernel_height}x{g.kernel_width}_"
        f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    runs, count = _runs(g)
    pixels, functions = _mve.pixels(prefix, scaling, form)
    places = _places(g)
    values = {
        "name": stem,
        "prefix": prefix,
        "g": g,
        "scaling": scaling,
        "steps": form.steps,
        "pair_bytes": _mve.stream_bytes(2, g.taps, 2),
        "pixels": pixels,
        "order": order,
        "direct": direct,
        "runs": runs,
        "count": count,
        "strip": None if direct else _mve_strips.Strip.of(g),
        "strip_bytes": _strip_bytes(g),
        "sums_bytes": _sums_bytes(order.tile),
        "places": places is not None,
    }
    layer = Function(stem, render("kernels/conv_s8_mve.c.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    constants = f"{names.constants['stream']}, {names.constants['scaling']}"
    more = [] if places is None else [names.constants["places"]]
    more += [] if direct else [str(node.inputs[0].zero_point)]
    body = f"{stem}({', '.join([x, constants, y, names.scratch, *more, scaling.arguments])});"
    copy = () if direct else (_mve_strips.copy_function(prefix, places),)
    return Code((*functions, *copy, layer), body)


def _tiled(g: ConvGeometry, device: Device) -> tuple[Order, ...]:
    """The orders by tiles of channels, where the cache does not hold all weights but those of a tile."""
    size = _mve.stream_bytes(g.out_channels, g.taps, 2)
    once = _cost.read_waits(device, size, loads=0)
    if device.flash is None or _cost.read_waits(device, size, loads=0, passes=2) <= once:
        return ()
    fitting = device.flash.data_bytes // 2 // (_mve.LANES * (4 + _mve.padded(g.taps))) * _mve.LANES
    tile = max(_mve.LANES, fitting)
    if tile >= g.out_channels:
        return ()
    if _is_direct(g):
        return (Order(1, tile),)
    return tuple(Order(rows, tile) for rows in sorted({1, -(-g.out_height // 2), g.out_height}))


def _is_direct(g: ConvGeometry) -> bool:
    """Whether every window is one run of the input."""
    return g.kernel_height == 1 and g.dilation_width == 1 and not g.is_padded


def _form(g: ConvGeometry) -> _mve.Form:
    """Behind a strip's last window there is room for a whole vector; behind the input there is not."""
    return _mve.Form.of(g.taps, whole=not _is_direct(g))


def _sums_bytes(channels: int) -> int:
    """Scratch of a block's sums: three pixels' runs of 64 channels, the last one's read in whole vectors."""
    last = (channels - 1) % _SUMS + 1
    return 4 * (3 * _SUMS * ((channels - 1) // _SUMS) + 2 * _SUMS + _mve.padded(last))


def _places(g: ConvGeometry) -> Array | None:
    """Where columns go that are laid out several at a time."""
    if _is_direct(g):
        return None
    return _mve_strips.scattered(
        _mve_strips.Strip.of(g).copies, g.in_channels, g.kernel_height * g.in_channels
    )


def _strip_bytes(g: ConvGeometry) -> int:
    if _is_direct(g):
        return 0
    size = _mve_strips.Strip.of(g).columns * g.kernel_height * g.in_channels + -g.taps % _mve.LANES
    return -(-size // 8) * 8


def _runs(g: ConvGeometry) -> tuple[int, int]:
    """Runs of windows the same number of bytes apart, and pixels in each: rows, or all pixels where they can be."""
    pixels = g.batch * g.out_height * g.out_width
    flat = _is_direct(g) and g.stride_height == g.stride_width == g.kernel_width == 1
    return (1, pixels) if flat else (g.batch * g.out_height, g.out_width)


def _least_distance(g: ConvGeometry, order: Order) -> int | None:
    if not _is_direct(g):
        return _mve_strips.row_distance(g, order.rows)
    if order.tile < g.out_channels:
        return None
    runs, count = _runs(g)
    ends = np.concatenate([run * count + _block_ends(count) for run in range(runs)])[:-1]
    n, pixel = np.divmod(ends, g.out_height * g.out_width)
    oy, ox = np.divmod(pixel, g.out_width)
    unread = (n * g.in_height + oy * g.stride_height) * g.in_width + ox * g.stride_width
    return max(0, int((ends * g.out_channels - unread * g.in_channels).max(initial=0)))


def _block_ends(count: int) -> Array:
    """Pixels done after each block of a run of `count`, as the function `pixels` makes them: int [blocks]."""
    sizes = []
    left = count
    while left > 0:
        sizes.append(1 if left == 1 else 3 if left % 3 == 0 else 2)
        left -= sizes[-1]
    return np.cumsum(np.array(sizes, np.int64))


def _cycles(g: ConvGeometry, scaling: _mve.Scaling, order: Order, device: Device) -> int:
    runs, count = _runs(g)
    tiles = [min(order.tile, g.out_channels - done) for done in range(0, g.out_channels, order.tile)]
    work = Work()
    for tile in tiles:
        work += runs * (pixels_work(count, _form(g), tile, scaling) + Work(scalar=30))
    if not _is_direct(g):
        work += (
            runs
            * g.kernel_height
            * strip_work(_mve_strips.Strip.of(g), g.in_channels, _places(g) is not None)
        )
    blocks = runs * len(_block_ends(count))
    together = g.batch * -(-g.out_height // order.rows)
    passes = blocks if len(tiles) == 1 else 1 if _is_direct(g) else together
    constants = _mve.stream_bytes(g.out_channels, g.taps, 2) + scaling.flash_bytes
    return cycles(
        device, work, code_bytes=_CODE_BYTES + 600, constants=constants, blocks=blocks, passes=passes
    )


FAMILY = ConvMve()
