"""Portable C for PRelu with a slope per channel; element i is read before it is written: in place is safe."""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops.prelu import OPERATOR

__all__ = ["FAMILY", "PReluPortable"]

_CODE_BYTES = 100
_CYCLES_PER_ELEMENT = 20


class PReluPortable(KernelFamily):
    """PRelu over the last axis."""

    name = "prelu_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "PRelu":
            return ()
        flash = _CODE_BYTES + 4 * (1 + nodes[0].output.shape[-1])
        cycles = _CYCLES_PER_ELEMENT * nodes[0].output.elements
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(0,)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        multipliers, _ = OPERATOR.arithmetic(node, weights[node.inputs[1].name])
        comment = "multiplier of values from zero, then of negative ones per channel"
        return (Constant("multipliers", "int32_t", multipliers, comment),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        x, slope = node.inputs
        assert slope.value is not None
        _, shift = OPERATOR.arithmetic(node, np.asarray(slope.value))
        channels = node.output.shape[-1]
        pixels = node.output.elements // channels
        stem = f"{names.prefix}_prelu_{pixels}x{channels}"
        function = self.render(stem, {"pixels": pixels, "channels": channels, "prefix": names.prefix})
        operands = (
            f"{names.tensors[x.name]}, {names.tensors[node.output.name]}, {names.constants['multipliers']}"
        )
        return Code((function,), f"{stem}({operands}, {shift}, {x.zero_point}, {node.output.zero_point});")


FAMILY = PReluPortable()
