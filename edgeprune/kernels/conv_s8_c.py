"""Portable C for int8 convolution of any geometry: one output pixel, four output channels at a time.

Taps outside the image are skipped by loop bounds computed per row and per pixel. Without groups and horizontal
dilation a kernel row and the input under it are contiguous, and one loop runs over both.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._requantization import (
    CYCLES_PER_INSTRUCTION,
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    edges,
    pixelwise_distance,
    requantization_constants,
    weighted_arguments,
)
from edgeprune.kernels._sums import BLOCK, block_sizes, last_block, multiply_function, store_function
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvPortable"]

_CODE_BYTES = 420


class ConvPortable(KernelFamily):
    """int8 Conv."""

    name = "conv_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + g.out_channels * (g.taps + REQUANTIZE_BYTES),
                cycles=_cycles(g),
                overlap=(pixelwise_distance(g, last_block(g.group_out_channels)),),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        _, w, b = node.inputs
        packed = Constant("weights", "int8_t", weights[w.name], align=1)
        return (packed, *requantization_constants(node, weights[b.name]))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, store = conv_geometry(node), store_function(names.prefix, node)
        stem = (
            f"{names.prefix}_conv_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        function = self.render(stem, {"prefix": names.prefix, "store": store.name, "g": g, "edges": edges(g)})
        sums = [multiply_function(names.prefix, count) for count in block_sizes(g.group_out_channels)]
        return Code((*sums, store, function), f"{stem}({weighted_arguments(node, names)});")


def _cycles(g: ConvGeometry) -> int:
    """From instructions counted on Cortex-M3: per MAC, per loop over a kernel row, per output, per pixel."""
    pixels = g.batch * g.out_height * g.out_width
    blocks = g.group * -(-g.group_out_channels // BLOCK)
    loops = g.kernel_height * (1 if g.group == 1 and g.dilation_width == 1 else g.kernel_width)
    sums = blocks * (g.taps * (3 + 2 * min(BLOCK, g.group_out_channels)) + 15 * loops + 25)
    outputs = g.out_channels * REQUANTIZE_INSTRUCTIONS
    return round(CYCLES_PER_INSTRUCTION * pixels * (sums + outputs + 20))


FAMILY = ConvPortable()
