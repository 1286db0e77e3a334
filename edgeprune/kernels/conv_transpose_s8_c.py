"""Portable C for int8 transposed convolution: each output pixel gathers the inputs that reach it.

Gathering keeps the accumulators in registers, four output channels at a time, at the price of testing every
kernel tap; the test is outside the loop over channels.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    requantization_constants,
    weighted_arguments,
)
from edgeprune.kernels._sums import (
    BLOCK,
    block_sizes,
    multiply_function,
    multiply_name,
    store_function,
    sum_cycles,
    sum_instructions,
    weight_type,
    weight_waits,
    weights_constant,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "ConvTransposePortable"]

_CODE_BYTES = 420


class ConvTransposePortable(KernelFamily):
    """int8 ConvTranspose."""

    name = "conv_transpose_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "ConvTranspose":
            return ()
        w = nodes[0].inputs[1]
        flash = _CODE_BYTES + w.bytes + w.shape[0] * REQUANTIZE_BYTES
        return (Candidate(self.name, self.name, nodes, flash, _cycles(nodes[0], device), overlap=(None,)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        _, w, b = node.inputs
        return (weights_constant(weights[w.name]), *requantization_constants(node, weights[b.name]))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        batch, in_height, in_width, in_channels = node.inputs[0].shape
        out_channels, kernel_height, kernel_width, depth = node.inputs[1].shape
        stride_height, stride_width = node.ints("strides")
        dilation_height, dilation_width = node.ints("dilations")
        pad_top, pad_left, _, _ = node.ints("pads")
        group = node.int("group")
        store, stored = store_function(names.prefix, node), weight_type(node)
        stem = (
            f"{names.prefix}_conv_transpose_{kernel_height}x{kernel_width}_"
            f"{in_height}x{in_width}x{in_channels}_{out_channels}"
        )
        values = {
            "multiply": multiply_name(names.prefix, stored),
            "weight": f"{stored}_t",
            "store": store.name,
            "batch": batch,
            "in_height": in_height,
            "in_width": in_width,
            "in_channels": in_channels,
            "out_height": node.output.shape[1],
            "out_width": node.output.shape[2],
            "out_channels": out_channels,
            "kernel_height": kernel_height,
            "kernel_width": kernel_width,
            "depth": depth,
            "stride_height": stride_height,
            "stride_width": stride_width,
            "dilation_height": dilation_height,
            "dilation_width": dilation_width,
            "pad_top": pad_top,
            "pad_left": pad_left,
            "group": group,
            "group_channels": out_channels // group,
        }
        sums = [
            multiply_function(names.prefix, count, stored) for count in block_sizes(out_channels // group)
        ]
        return Code((*sums, store, self.render(stem, values)), f"{stem}({weighted_arguments(node, names)});")


def _cycles(node: Node, device: Device) -> int:
    """From instructions counted on Cortex-M3: sums over taps that reach an input, tests of all, outputs.

    Taps that reach beyond the cropped output are counted too.
    """
    batch, height, width, _ = node.inputs[0].shape
    channels, kernel_height, kernel_width, depth = node.inputs[1].shape
    group = node.int("group")
    reached = height * width * kernel_height * kernel_width
    sums = sum_instructions(channels // group, reached * depth, reached, reached)
    pixels = node.output.elements // channels // batch
    tests = pixels * -(-(channels // group) // BLOCK) * kernel_height * kernel_width * 8
    outputs = pixels * (channels // group * REQUANTIZE_INSTRUCTIONS + 30 / group)
    return round(
        sum_cycles(device, sums, tests + outputs, batch * group)
        + _cost.code_waits(device, _CODE_BYTES)
        + weight_waits(device, node, batch * reached * depth * channels, batch * height * width)
    )


FAMILY = ConvTransposePortable()
