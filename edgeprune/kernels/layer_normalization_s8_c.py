"""Portable C for LayerNormalization: two passes over a row, and one reciprocal square root between them.

In place is safe: a row is read whole before any of it is written, and then element by element.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops.layer_normalization import OPERATOR

__all__ = ["FAMILY", "LayerNormalizationPortable"]

_CYCLES_PER_ELEMENT = 32
_CYCLES_PER_ROW = 250
_CODE_BYTES = 350


class LayerNormalizationPortable(KernelFamily):
    """int8 LayerNormalization."""

    name = "layer_normalization_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != OPERATOR.name:
            return ()
        node = nodes[0]
        x, gamma, beta = node.inputs
        cycles = _CYCLES_PER_ELEMENT * x.elements + _CYCLES_PER_ROW * (x.elements // gamma.elements)
        flash = _CODE_BYTES + gamma.bytes + beta.bytes
        return (Candidate(self.name, self.name, nodes, flash, cycles, overlap=(0,)),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        g, b = OPERATOR.channel_parameters(node, *(weights[tensor.name] for tensor in node.inputs[1:]))
        pairs = np.stack([g, b], axis=-1).astype(np.int32)
        return (Constant("channels", "int32_t", pairs, "multiplier and offset of each channel"),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        x, gamma, beta = node.inputs
        assert gamma.value is not None and beta.value is not None
        p = OPERATOR.arithmetic(node, gamma.value, beta.value)
        function = self.render(f"{prefix}_layer_normalization", {"prefix": prefix, "part": "kernel"})
        helpers = tuple(
            self.render(f"{prefix}_{part}", {"prefix": prefix, "part": part})
            for part in ("inverse_root", "high_product")
        )
        pointers = (
            f"{names.tensors[x.name]}, {names.constants['channels']}, {names.tensors[node.output.name]}"
        )
        rows = math.prod(x.shape) // p.length
        numbers = f"{rows}, {p.length}, {p.root_shift}, {p.epsilon}LL, {p.exponent}, {p.shift}"
        return Code((*helpers, function), f"{function.name}({pointers}, {numbers});")


FAMILY = LayerNormalizationPortable()
