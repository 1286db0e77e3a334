"""Portable C for int8 depthwise convolution with one output per input channel: four channels at a time.

Weights are packed [kh][kw][C], so that neighbouring channels of inputs and weights are neighbours in memory.
A channel multiplier above 1 is `conv_s8_c`'s, as any other grouped convolution.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    channelwise_distance,
    edges,
    requantization_constants,
    taps_inside,
    weighted_arguments,
)
from edgeprune.kernels._sums import (
    BLOCK,
    block_sizes,
    depthwise_function,
    depthwise_name,
    store_function,
    weight_type,
    weight_waits,
    weights_constant,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "DepthwisePortable"]

_CODE_BYTES = 400


class DepthwisePortable(KernelFamily):
    """int8 Conv with as many groups as input and output channels."""

    name = "depthwise_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if not g.is_depthwise or g.out_channels != g.in_channels:
            return ()
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + nodes[0].inputs[1].bytes + g.out_channels * REQUANTIZE_BYTES,
                cycles=_cycles(g, nodes[0], device),
                overlap=(channelwise_distance(g),),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        _, w, b = node.inputs
        packed = weights_constant(weights[w.name].transpose(1, 2, 3, 0))
        return (packed, *requantization_constants(node, weights[b.name]))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, store = conv_geometry(node), store_function(names.prefix, node)
        stem = (
            f"{names.prefix}_depthwise_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        stored = weight_type(node)
        values = {
            "multiply": depthwise_name(names.prefix, stored),
            "weight": f"{stored}_t",
            "store": store.name,
            "g": g,
            "edges": edges(g),
        }
        function = self.render(stem, values)
        sums = [depthwise_function(names.prefix, count, stored) for count in block_sizes(g.in_channels)]
        return Code((*sums, store, function), f"{stem}({weighted_arguments(node, names)});")


def _cycles(g: ConvGeometry, node: Node, device: Device) -> int:
    """From instructions counted on Cortex-M3: per tap of a block, per kernel row, per block, per output."""
    rows, columns = taps_inside(g)
    fours, ones = divmod(g.in_channels, BLOCK)
    taps = rows * columns * (21 * fours + 9 * ones)
    calls = (fours + ones) * g.out_width * (12 * rows + 45 * g.out_height)
    pixels = g.out_height * g.out_width
    outputs = pixels * (g.out_channels * REQUANTIZE_INSTRUCTIONS + 30)
    products = g.batch * rows * columns * g.in_channels
    return round(
        _cost.cycles(device, {_cost.Kind.SCALAR: g.batch * (taps + calls + outputs)})
        + _cost.code_waits(device, _CODE_BYTES)
        + weight_waits(device, node, products, g.batch * pixels)
    )


FAMILY = DepthwisePortable()
