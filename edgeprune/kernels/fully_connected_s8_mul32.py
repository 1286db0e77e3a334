"""Fully connected layers for cores with a 32-bit multiplication only.

One row of inputs is multiplied with four output channels at a time. Their weights at one input are one word, which
cores with slow flash read as one; each input is read once for four products. Nothing is packed, and no sum of int8
products leaves its range. Several rows, as in sequence models, are the pixels of a pointwise convolution. A
convolution whose window is the whole image is one row too.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp, _mul32
from edgeprune.kernels._fully_connected import as_pointwise, is_fully_connected, matrix_shape, row_count
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_mul32 import emit_blocks, offered

__all__ = ["FAMILY", "FullyConnectedMul32"]

_CODE_BYTES = 300
"""Of a layer's own function, about; helpers are shared by all layers."""


class FullyConnectedMul32(KernelFamily):
    """int8 FullyConnected, one row or several, and Conv with a single window."""

    name = "fully_connected_s8_mul32"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if device.core not in _mul32.CORES or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        node = nodes[0]
        if row_count(node) > 1:
            return offered(self.name, node, as_pointwise(node), device)
        outputs, inputs = matrix_shape(node)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _mul32.stream_bytes(outputs, inputs),
                cycles=_cycles(outputs, inputs, device),
                overlap=(None,),
                parameters={"core": device.core, "chunks": 1},
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        rows = w.reshape(matrix_shape(node))
        sums_fit = bool(candidate.parameters["chunks"]) or _mul32.whole_is_exact(rows)
        return _dsp.is_within_range(node, w, b) and sums_fit

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        rows = weights[w.name].reshape(matrix_shape(node))
        stream = _mul32.stream(rows, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        return (Constant("stream", "uint32_t", stream, "heads and weights of four channels at a time"),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        if row_count(node) > 1:
            return emit_blocks(candidate, node, as_pointwise(node), names)
        outputs, inputs = matrix_shape(node)
        scaling = _dsp.Scaling.of(node)
        core = str(candidate.parameters["core"])
        scale, scales = _mul32.scale_functions(names.prefix, scaling, core)
        multiply = _mul32.single_function(names.prefix, core)
        stem = f"{names.prefix}_fully_connected_{inputs}_{outputs}"
        values = {
            "inputs": inputs,
            "outputs": outputs,
            "taps": _mul32.padded_taps(inputs),
            "multiply": multiply.name,
            "words": bool(_mul32.CORES[core].isa),
            "scale": scale,
            "scaling": scaling,
        }
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        body = f"{stem}({x}, {names.constants['stream']}, {y}, {scaling.arguments});"
        return Code((*scales, multiply, self.render(stem, values)), body)


def _cycles(outputs: int, inputs: int, device: Device) -> int:
    """From instructions counted in the generated code of each core, and the flash's waits for weights and code."""
    core = _mul32.CORES[device.core]
    groups = -(-outputs // _mul32.CHANNELS)
    instructions = {
        _cost.Kind.MULTIPLY: groups * core.single * inputs,
        _cost.Kind.SCALE: groups * (40 + core.group) * core.load + outputs * (8 + core.output),
    }
    stream = _mul32.stream_bytes(outputs, inputs)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, stream, loads=stream / 4)
    )


FAMILY = FullyConnectedMul32()
