"""Winograd's F(2x2, 3x3) with weights transformed in RAM, and the sum that alone reads its output, in one pass.

Strips are those of `conv_s8_dsp_winograd_staged`, with the same roundings: their outputs, bytes as the convolution's
tensor would hold them, go to rows of scratch; the function of `add_s8_dsp` adds the shortcut's and writes the sum.

A strip's tiles are numbered from its own first row, whose outputs the kernel bounds by the image's last row: so heights
are even, or one strip is the image.

Overlap. A strip of the sum is written when the convolution alone would have stored it, so the input may lie as near. Of
the shortcut, elements up to k | 3 were read before element k is written: the distance is 0.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import add_s8_dsp, conv_s8_dsp_winograd_staged
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._residual import with_sum
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_add_s8_dsp import SUM_BYTES, sum_cycles, words_sum

__all__ = ["FAMILY", "ConvAddWinogradStagedDsp"]


class ConvAddWinogradStagedDsp(KernelFamily):
    """int8 Conv that `conv_s8_dsp_winograd_staged` takes, then Add or Sub of a tensor of its shape."""

    name = "conv_add_s8_dsp_winograd_staged"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 2 or nodes[0].op != "Conv":
            return ()
        if sum_shortcut(*nodes) is None or not add_s8_dsp.is_exact(nodes[1]):
            return ()
        height = nodes[0].output.shape[1]
        alone = conv_s8_dsp_winograd_staged.FAMILY.candidates(nodes[:1], device)
        strips = [(one, 2 * int(one.parameters["strip"])) for one in alone]
        return tuple(
            with_sum(
                one,
                self.name,
                nodes,
                cycles=sum_cycles(nodes[1], -(-height // strip), device),
                code_bytes=SUM_BYTES,
                rows_bytes=min(strip, height) * nodes[0].output.elements // height,
            )
            for one, strip in strips
            if height % 2 == 0 or strip >= height
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return conv_s8_dsp_winograd_staged.FAMILY.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return conv_s8_dsp_winograd_staged.FAMILY.pack(candidate, weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        combine = words_sum(candidate, names)
        return conv_s8_dsp_winograd_staged.FAMILY.emit_strips(candidate, names, combine)


FAMILY = ConvAddWinogradStagedDsp()
