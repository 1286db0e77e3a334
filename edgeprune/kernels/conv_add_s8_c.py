"""Portable convolution, and the Add or Sub that is the only reader of its output, in one pass.

A pixel's outputs, bytes as the convolution's tensor would hold them, go to scratch; their sum with the shortcut's goes
to the output. So the tensor between the two never exists.

Overlap. A pixel of the sum is written when its windows were read, never before. Of the shortcut, element k was read
before element k of the sum is written, and never again: in place is safe.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node, Tensor
from edgeprune.kernels import _cost, add_s8_c, conv_s8_c
from edgeprune.kernels._loops import elementwise_loops
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._requantization import pixelwise_distance
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_c import Combine, emit_convolution
from edgeprune.ops._convolution import conv_geometry

__all__ = ["CALL_INSTRUCTIONS", "FAMILY", "ConvAddPortable", "pixel_sum"]

_CODE_BYTES = 120
CALL_INSTRUCTIONS = 45
"""For each pixel: the call, its arguments, and the pointers to move on."""


class ConvAddPortable(KernelFamily):
    """int8 Conv of any geometry, then Add or Sub of a tensor of its shape."""

    name = "conv_add_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 2 or nodes[0].op != "Conv" or sum_shortcut(*nodes) is None:
            return ()
        conv, add = nodes
        g, channels = conv_geometry(conv), conv.output.shape[-1]
        pixels = conv.output.elements // channels
        instructions = add_s8_c.INSTRUCTIONS_PER_ELEMENT * add.output.elements + CALL_INSTRUCTIONS * pixels
        added = _cost.cycles(device, {_cost.Kind.STREAM: instructions}) + _cost.code_waits(
            device, _CODE_BYTES
        )
        return tuple(
            _over(
                replace(
                    one,
                    family=self.name,
                    name=self.name,
                    nodes=nodes,
                    flash_bytes=one.flash_bytes + _CODE_BYTES,
                    cycles=one.cycles + round(added),
                    scratch_bytes=-(-channels // 8) * 8,
                ),
                pixelwise_distance(g, channels),
            )
            for one in conv_s8_c.FAMILY.candidates((conv,), device)
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return conv_s8_c.FAMILY.pack(candidate, weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        conv, add = candidate.nodes
        tensors = {**names.tensors, conv.output.name: f"(int8_t *){names.scratch}"}
        return emit_convolution(conv, replace(names, tensors=tensors), pixel_sum(conv, add, names, "y"))


def pixel_sum(conv: Node, add: Node, names: LayerNames, y: str) -> Combine:
    """The sum `add` of a pixel of `conv`'s output, at the C expression `y`, with the shortcut's."""
    shortcut = sum_shortcut(conv, add)
    assert shortcut is not None
    pixel = Tensor("pixel", (conv.output.shape[-1],), "int8", add.output.quant)
    loops = elementwise_loops(pixel, (pixel, pixel))
    function = add_s8_c.FAMILY.render(
        f"{names.prefix}_add_" + "x".join(map(str, loops.extents)), {"loops": loops}
    )
    types = ["int" if one == "shift" else "int32_t" for one in add_s8_c.PARAMETERS]
    declared = [f"sum_{one}" for one in add_s8_c.PARAMETERS]
    arguments = [names.tensors[shortcut.name], names.tensors[add.output.name]]
    return Combine(
        function=function,
        operands=f"{y}, shortcut" if add.inputs[0].name == conv.output.name else f"shortcut, {y}",
        parameters=", ".join(f"{kind} {one}" for kind, one in zip(types, declared, strict=True)),
        passed=", ".join(declared),
        arguments=", ".join([*arguments, *map(str, add_s8_c.numbers(add))]),
    )


def _over(candidate: Candidate, distance: int | None) -> Candidate:
    """`candidate` with its input at `distance` above its output, and its shortcut in place."""
    x = candidate.nodes[0].inputs[0].name
    return replace(
        candidate, overlap=tuple(distance if name == x else 0 for name in candidate.activation_inputs)
    )


FAMILY = ConvAddPortable()
