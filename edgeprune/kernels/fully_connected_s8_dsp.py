"""Fully connected layers for cores with the DSP extension.

One input row is expanded to halfwords once (see `_dsp`) and multiplied with four output channels at a time.
Several rows, as in sequence models, are the pixels of a pointwise convolution: blocks of 4 rows by 2 channels.
A convolution whose window is the whole image is one row too.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._fully_connected import as_pointwise, is_fully_connected, matrix_shape, row_count
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_dsp import cost, emit_blocks, pack_blocks

__all__ = ["FAMILY", "FullyConnectedDsp"]

_CODE_BYTES = 300
"""Of a layer's own function, about; helpers are shared by all layers."""


class FullyConnectedDsp(KernelFamily):
    """int8 FullyConnected, one row or several, and Conv with a single window."""

    name = "fully_connected_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        node = nodes[0]
        if row_count(node) > 1:
            return (
                Candidate(self.name, f"{self.name}_rows", nodes, **cost(node, as_pointwise(node), device)),
            )
        outputs, inputs = matrix_shape(node)
        words = -(-inputs // 4)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + outputs * 4 * (words + 2),
                cycles=_cycles(outputs, words, device),
                scratch_bytes=8 * words,
                overlap=(None,),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        scaling = _dsp.Scaling.of(node)
        if row_count(node) > 1:
            return pack_blocks(node, as_pointwise(node), weights[w.name], weights[b.name])
        matrix = weights[w.name].reshape(matrix_shape(node))
        rows = _packed_rows(matrix, weights[b.name], x.zero_point, scaling)
        return (Constant("rows", "uint32_t", rows, "initial sum, weights, multiplier per channel"),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        if row_count(node) > 1:
            return emit_blocks(node, as_pointwise(node), names)
        outputs, inputs = matrix_shape(node)
        scaling = _dsp.Scaling.of(node)
        scale, functions = scaling.functions(names.prefix)
        stem = f"{names.prefix}_fully_connected_{inputs}_{outputs}"
        values = {
            "prefix": names.prefix,
            "inputs": inputs,
            "outputs": outputs,
            "words": -(-inputs // 4),
            "scale": scale,
            "scaling": scaling,
        }
        layer = self.render(stem, values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        columns = f"({names.prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {names.constants['rows']}, {y}, {columns}, {scaling.arguments});"
        return Code((*functions, *_dsp.helpers(names.prefix, ("expand", "multiply_1x4")), layer), body)


def _packed_rows(w: Array, b: Array, zero_x: int, scaling: _dsp.Scaling) -> Array:
    padded = _dsp.pad_to_words(w)
    sums = _dsp.initial_sums(padded, b, zero_x, scaling)
    columns = [sums[:, None], _dsp.encode_words(padded), scaling.multipliers.astype(np.uint32)[:, None]]
    return np.concatenate(columns, axis=1).ravel()


def _cycles(outputs: int, words: int, device: Device) -> int:
    """From instructions counted in the generated code for Cortex-M4, and the flash's waits for rows and code."""
    fours = -(-outputs // 4)
    instructions = {
        _cost.Kind.MULTIPLY: 18 * words * fours,
        _cost.Kind.SCALE: 78 * fours + 40,
        _cost.Kind.GATHER: 10 * words,
    }
    rows = outputs * 4 * (words + 2)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, rows, loads=rows / 4)
    )


FAMILY = FullyConnectedDsp()
