"""Convolution for cores with a 32-bit multiplication only, and the sum that alone reads its output, in one pass.

Blocks are those of `conv_s8_mul32`, with the same roundings: their outputs, bytes as the convolution's tensor would
hold them, go to scratch; their sum with the shortcut's goes to the output, pixel by pixel. So the tensor between the
two never exists.

Overlap. A block of the sum is written where and when the convolution alone would store it, so the input may lie as near
as for that. Of the shortcut, element k was read before element k of the sum is written, and never again: in place is
safe.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _mul32, add_s8_c, conv_s8_mul32
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._residual import loop_cycles, with_sum
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_add_s8_c import CALL_INSTRUCTIONS, pixel_sum
from edgeprune.ops._convolution import conv_geometry

__all__ = ["FAMILY", "ConvAddMul32"]

_CODE_BYTES = 120


class ConvAddMul32(KernelFamily):
    """int8 Conv of one image with one group, then Add or Sub of a tensor of its shape."""

    name = "conv_add_s8_mul32"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 2 or nodes[0].op != "Conv" or sum_shortcut(*nodes) is None:
            return ()
        alone = conv_s8_mul32.FAMILY.candidates(nodes[:1], device)
        return tuple(self._with_add(one, nodes, device) for one in alone)

    def _with_add(self, one: Candidate, nodes: tuple[Node, ...], device: Device) -> Candidate:
        """`one`, a candidate of the convolution alone, with the sum behind it."""
        elements, channels = nodes[1].output.elements, nodes[0].output.shape[-1]
        instructions = add_s8_c.INSTRUCTIONS_PER_ELEMENT * elements + CALL_INSTRUCTIONS * elements / channels
        return with_sum(
            one,
            self.name,
            nodes,
            cycles=loop_cycles(device, instructions, _CODE_BYTES),
            code_bytes=_CODE_BYTES,
            rows_bytes=_mul32.LANES * channels,
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return conv_s8_mul32.FAMILY.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return conv_s8_mul32.FAMILY.pack(candidate, weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        conv, add = candidate.nodes
        combine = pixel_sum(conv, add, names, f"y + lane * {conv.output.shape[-1]}")
        rows = f"(int8_t *)({names.scratch} + {candidate.parameters['rows']})"
        tensors = {**names.tensors, conv.output.name: rows}
        alone = replace(names, tensors=tensors)
        return conv_s8_mul32.emit_blocks(candidate, conv, conv_geometry(conv), alone, combine)


FAMILY = ConvAddMul32()
