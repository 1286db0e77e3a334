"""Fully connected layers for cores with the DSP extension.

One input row is expanded to halfwords once (see `_dsp`) and multiplied with four output channels at a time.
Several rows, as in sequence models, are the pixels of a pointwise convolution: blocks of 4 rows by 2 channels.
A convolution whose window is the whole image is one row too.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_dsp import cost, emit_blocks
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "FullyConnectedDsp"]

_CODE_BYTES = 300
"""Of a layer's own function, about; helpers are shared by all layers."""


class FullyConnectedDsp(KernelFamily):
    """int8 FullyConnected, one row or several, and Conv with a single window."""

    name = "fully_connected_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not _is_fully_connected(nodes[0]):
            return ()
        node = nodes[0]
        if _rows(node) > 1:
            return (
                Candidate(self.name, f"{self.name}_rows", nodes, **cost(node, _as_pointwise(node), device)),
            )
        outputs, inputs = _matrix_shape(node)
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
        if _rows(node) > 1:
            stream = _dsp.pair_stream(weights[w.name], weights[b.name], x.zero_point, scaling)
            comment = "initial sums, weights, multipliers per channel pair"
            return (Constant("stream", "uint32_t", stream, comment),)
        matrix = weights[w.name].reshape(_matrix_shape(node))
        rows = _packed_rows(matrix, weights[b.name], x.zero_point, scaling)
        return (Constant("rows", "uint32_t", rows, "initial sum, weights, multiplier per channel"),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        if _rows(node) > 1:
            return emit_blocks(node, _as_pointwise(node), names)
        outputs, inputs = _matrix_shape(node)
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


def _is_fully_connected(node: Node) -> bool:
    if node.op == "FullyConnected":
        return True
    if node.op != "Conv" or node.int("group") != 1:
        return False
    g = conv_geometry(node)
    return not g.is_padded and g.batch == 1 and g.taps == node.inputs[0].elements


def _matrix_shape(node: Node) -> tuple[int, int]:
    """Outputs and inputs of the matrix of weights."""
    shape = node.inputs[1].shape
    return shape[0], math.prod(shape[1:])


def _rows(node: Node) -> int:
    return node.inputs[0].elements // _matrix_shape(node)[1]


def _as_pointwise(node: Node) -> ConvGeometry:
    """The rows of `node` as the pixels of an image one pixel high."""
    rows, (outputs, inputs) = _rows(node), _matrix_shape(node)
    return ConvGeometry(
        batch=1,
        in_height=1,
        in_width=rows,
        in_channels=inputs,
        out_height=1,
        out_width=rows,
        out_channels=outputs,
        kernel_height=1,
        kernel_width=1,
        stride_height=1,
        stride_width=1,
        dilation_height=1,
        dilation_width=1,
        pad_top=0,
        pad_left=0,
        pad_bottom=0,
        pad_right=0,
        group=1,
    )


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
