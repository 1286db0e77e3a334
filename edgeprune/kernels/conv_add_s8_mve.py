"""Convolution or fully connected rows for cores with Helium, and the sum that alone reads their output, in one pass.

Blocks are those of `conv_s8_mve`, with the same roundings: their outputs, bytes as the convolution's tensor would hold
them, go to scratch, three pixels at most. There the function of `add_s8_mve` takes them, and the shortcut at the same
elements, and writes the sum. So the tensor between the two never exists.

Overlap. A block of the sum is written where and when the convolution alone would store it, so the input may lie as near
as for that. Of the shortcut, elements are read before theirs of the sum are written; where all channels of a pixel are
computed together they come in order, and with address(shortcut) >= address(output) what is still to be read lies above
what was written: the distance is 0. By tiles of channels they do not, so that the two must be apart.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import add_s8_mve, conv_s8_mve, fully_connected_s8_mve
from edgeprune.kernels._additive import sum_arithmetic, sum_constant
from edgeprune.kernels._fully_connected import row_count
from edgeprune.kernels._mve_conv import Sum, walked_geometry
from edgeprune.kernels._mve_cost import cycles
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._residual import with_sum
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_mve import emit_conv, order_of

__all__ = ["FAMILY", "ConvAddMve"]

_PIXELS = 3
"""Of a block, at most."""


class ConvAddMve(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, then Add or Sub of a tensor of its shape."""

    name = "conv_add_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 2 or sum_shortcut(*nodes) is None:
            return ()
        if sum_constant(sum_arithmetic(nodes[1])) is None or not (family := _alone(nodes[0])):
            return ()
        return tuple(self._with_add(one, nodes, device) for one in family.candidates(nodes[:1], device))

    def _with_add(self, one: Candidate, nodes: tuple[Node, ...], device: Device) -> Candidate:
        """`one`, a candidate of the convolution alone, with the sum behind it."""
        conv, add = nodes
        channels, tile = conv.output.shape[-1], order_of(one).tile
        elements, code_bytes = add.output.elements, add_s8_mve.CODE_BYTES
        calls = elements // channels / _PIXELS if tile == channels else elements / tile
        work = add_s8_mve.sum_work(elements, round(calls))
        fused = with_sum(
            one,
            self.name,
            nodes,
            cycles=cycles(device, work, code_bytes=code_bytes, constants=0),
            code_bytes=code_bytes,
            rows_bytes=_PIXELS * tile,
        )
        return fused if tile == channels else _apart(fused)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        alone = replace(candidate, nodes=candidate.nodes[:1])
        family = _alone(candidate.nodes[0])
        assert family is not None
        return family.pack(alone, weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        conv, add = candidate.nodes
        return emit_conv(candidate, walked_geometry(conv), names, _sum(candidate, add, names))


def _alone(conv: Node) -> KernelFamily | None:
    """The family of the convolution's own kernels; None where there is none."""
    if conv.op == "Conv":
        return conv_s8_mve.FAMILY
    rows = conv.op == "FullyConnected" and row_count(conv) > 1
    return fully_connected_s8_mve.FAMILY if rows else None


def _apart(candidate: Candidate) -> Candidate:
    """`candidate` whose shortcut must not overlap its output."""
    shortcut = sum_shortcut(*candidate.nodes)
    assert shortcut is not None
    names = candidate.activation_inputs
    overlap = tuple(
        None if name == shortcut.name else one for name, one in zip(names, candidate.overlap, strict=True)
    )
    return replace(candidate, overlap=overlap)


def _sum(candidate: Candidate, add: Node, names: LayerNames) -> Sum:
    conv = candidate.nodes[0]
    shortcut, p = sum_shortcut(conv, add), sum_arithmetic(add)
    constant = sum_constant(p)
    assert shortcut is not None and constant is not None
    both = (p.multiplier_a, p.multiplier_b)
    multipliers = both if add.inputs[0].name == conv.output.name else both[::-1]
    return Sum(
        function=add_s8_mve.FAMILY.vector_sum(add, names.prefix),
        output=add.output.name,
        rows=f"(int8_t *)({names.scratch} + {candidate.parameters['rows']})",
        shortcut=names.tensors[shortcut.name],
        numbers=(*multipliers, constant, p.low, p.high),
    )


FAMILY = ConvAddMve()
