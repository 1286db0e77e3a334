"""Portable C for int8 convolution of any geometry: one output pixel, four output channels at a time.

Taps outside the image are skipped by loop bounds computed per row and per pixel. Without groups and horizontal
dilation a kernel row and the input under it are contiguous, and one loop runs over both.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    edges,
    pixelwise_distance,
    requantization_constants,
    taps_inside,
    weighted_arguments,
)
from edgeprune.kernels._sums import (
    block_sizes,
    last_block,
    multiply_function,
    multiply_name,
    store_function,
    sum_cycles,
    sum_instructions,
    weight_type,
    weight_waits,
    weights_constant,
)
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "Combine", "ConvPortable", "emit_convolution"]

_CODE_BYTES = 400


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
                flash_bytes=_CODE_BYTES + nodes[0].inputs[1].bytes + g.out_channels * REQUANTIZE_BYTES,
                cycles=_cycles(g, nodes[0], device),
                overlap=(pixelwise_distance(g, last_block(g.group_out_channels)),),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        _, w, b = node.inputs
        return (weights_constant(weights[w.name]), *requantization_constants(node, weights[b.name]))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return emit_convolution(candidate.nodes[0], names)


@dataclass(frozen=True)
class Combine:
    """What becomes of a pixel's outputs: with the shortcut's they are the operands of `function`.

    It is called with `operands`, which are y, the pixel, and shortcut in the order of the operator's, where the result
    goes, and `passed`, which `parameters` declare; `arguments` (C expressions) are shortcut, result and those.
    """

    function: Function
    operands: str
    parameters: str
    passed: str
    arguments: str

    @property
    def name(self) -> str:
        return self.function.name


def emit_convolution(node: Node, names: LayerNames, combine: Combine | None = None) -> Code:
    """The C of `node`, with inputs x, w, b, whose output, where it is combined, holds one pixel."""
    g, store = conv_geometry(node), store_function(names.prefix, node)
    stem = (
        f"{names.prefix}_conv{'_add' if combine else ''}_{g.kernel_height}x{g.kernel_width}_"
        f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    stored = weight_type(node)
    values = {
        "multiply": multiply_name(names.prefix, stored),
        "weight": f"{stored}_t",
        "store": store.name,
        "g": g,
        "edges": edges(g),
        "combine": combine,
    }
    function = FAMILY.render(stem, values)
    sums = [multiply_function(names.prefix, count, stored) for count in block_sizes(g.group_out_channels)]
    arguments = weighted_arguments(node, names) + (f", {combine.arguments}" if combine else "")
    needed = (*sums, store, *((combine.function,) if combine else ()))
    return Code((*needed, function), f"{stem}({arguments});")


def _cycles(g: ConvGeometry, node: Node, device: Device) -> int:
    """From instructions counted on Cortex-M3; taps outside the image cost nothing."""
    rows, columns = taps_inside(g)
    contiguous = g.group == 1 and g.dilation_width == 1
    products = rows * columns * g.group_in_channels
    sums = sum_instructions(
        g.group_out_channels,
        products=products,
        calls=(g.out_height if contiguous else rows) * g.out_width,
        rows=rows * (g.out_width if contiguous else columns),
    )
    pixels = g.out_height * g.out_width
    outputs = pixels * (g.group_out_channels * REQUANTIZE_INSTRUCTIONS + 30 / g.group)
    return round(
        sum_cycles(device, sums, outputs, g.batch * g.group)
        + _cost.code_waits(device, _CODE_BYTES)
        + weight_waits(device, node, g.batch * products * g.out_channels, g.batch * pixels)
    )


FAMILY = ConvPortable()
