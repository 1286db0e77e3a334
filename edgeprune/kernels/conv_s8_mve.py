"""Convolution for cores with Helium: blocks of 3 or 2 output pixels by 2 output channels, any geometry.

Per 16 inputs a block of 3 by 2 takes 5 loads and 6 VMLADAVA in a tail-predicated loop, so that no number of input
channels needs padding in RAM. How the image is walked over, and what may overlap, says `_mve_conv`.

Every block of pixels reads all weights. Where they are more than a slow flash's cache holds, other candidates take a
tile of output channels that it does hold through all blocks of a row, of several rows, or of the image.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _mve, _mve_conv, _mve_strips
from edgeprune.kernels._mve_conv import Order, Pixels, Sum
from edgeprune.kernels._mve_cost import Work, cycles, pixels_work
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvMve", "candidates_of", "emit_conv", "order_of", "pack_conv"]

_CODE_BYTES = 300
"""Of a layer's own function, about; helpers are shared by all layers."""


class ConvMve(KernelFamily):
    """int8 Conv with one group."""

    name = "conv_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].int("group") != 1:
            return ()
        g = conv_geometry(nodes[0])
        if nodes[0].inputs[1].dtype != "int8" or not _mve_conv.is_walked(g):
            return ()
        return candidates_of(self.name, self.name, nodes[0], g, device)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        places = _mve_conv.places(conv_geometry(candidate.nodes[0]))
        return (*pack_conv(candidate.nodes[0], weights), *_mve_strips.places_constant(places))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return emit_conv(candidate, conv_geometry(candidate.nodes[0]), names)


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
            scratch_bytes=_mve_conv.sums_bytes(order.tile) + order.rows * _mve_conv.strip_bytes(g),
            overlap=(_mve_conv.least_distance(g, order),),
            parameters={"together": order.rows, "tile": order.tile},
        )
        for order in (plain, *_tiled(g, device))
    )


def pack_conv(node: Node, weights: Weights) -> tuple[Constant, ...]:
    """The constants of `node`, with inputs x, w, b."""
    rows = _mve_conv.window_rows(weights[node.inputs[1].name])
    comment = "initial sums and weights per channel pair"
    return _mve.packed(node, rows, weights, lambda w, starts: _mve.interleaved_stream(w, starts, 2), comment)


def order_of(candidate: Candidate) -> Order:
    """That of a candidate of `candidates_of`."""
    return Order(int(candidate.parameters["together"]), int(candidate.parameters["tile"]))


def emit_conv(candidate: Candidate, g: ConvGeometry, names: LayerNames, behind: Sum | None = None) -> Code:
    """The C of a candidate of `candidates_of`, with the sum `behind` it."""
    node, prefix = candidate.nodes[0], names.prefix
    order, form = order_of(candidate), _form(g)
    stem = _mve_conv.layer_name(f"{prefix}_conv", g) + ("" if behind is None else "_add")
    functions = _mve.pixels(prefix, _mve.Scaling.of(node), form, None if behind is None else behind.function)
    pair_bytes = _mve.stream_bytes(2, g.taps, 2)
    pixels = Pixels(functions, _mve_conv.sums_bytes(order.tile), form.steps, pair_bytes)
    return _mve_conv.emit_walk(node, g, names, order, stem, pixels, behind)


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
    if _mve_conv.is_direct(g):
        return (Order(1, tile),)
    return tuple(Order(rows, tile) for rows in sorted({1, -(-g.out_height // 2), g.out_height}))


def _form(g: ConvGeometry) -> _mve.Form:
    """Behind a strip's last window there is room for a whole vector; behind the input there is not."""
    return _mve.Form.of(g.taps, whole=not _mve_conv.is_direct(g))


def _cycles(g: ConvGeometry, scaling: _mve.Scaling, order: Order, device: Device) -> int:
    runs, count = _mve_conv.runs(g)
    tiles = [min(order.tile, g.out_channels - done) for done in range(0, g.out_channels, order.tile)]
    work = _mve_conv.walk_work(g)
    for tile in tiles:
        work += runs * (pixels_work(count, _form(g), tile, scaling) + Work(scalar=30))
    blocks = runs * len(_mve_conv.block_ends(count))
    together = g.batch * -(-g.out_height // order.rows)
    passes = blocks if len(tiles) == 1 else 1 if _mve_conv.is_direct(g) else together
    constants = _mve.stream_bytes(g.out_channels, g.taps, 2) + scaling.flash_bytes
    return cycles(
        device, work, code_bytes=_CODE_BYTES + 600, constants=constants, blocks=blocks, passes=passes
    )


FAMILY = ConvMve()
