"""Fully connected layers for cores with Helium: one row by 4 output channels, 16 inputs at a time.

A row's sums are all made before they are scaled, sixteen at a time. Several rows, as in sequence models, are the
pixels of a pointwise convolution: see `conv_s8_mve`. A convolution whose window is the whole image is one row too.

Overlap: every output is stored after the last input of its row was read, so one row may even be in place.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _mve
from edgeprune.kernels._fully_connected import as_pointwise, is_fully_connected, matrix_shape, row_count
from edgeprune.kernels._mve_cost import cycles, row_work
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_mve import candidates_of, emit_conv, pack_conv

__all__ = ["FAMILY", "FullyConnectedMve"]

_CODE_BYTES = 450
"""Of a layer and its helpers, about."""
_TOGETHER = 4


class FullyConnectedMve(KernelFamily):
    """int8 FullyConnected, one row or several, and Conv with a single window."""

    name = "fully_connected_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        (node,) = nodes
        if node.inputs[1].dtype != "int8":
            return ()
        if row_count(node) > 1:
            return candidates_of(self.name, f"{self.name}_rows", node, as_pointwise(node), device)
        outputs, inputs = matrix_shape(node)
        scaling = _mve.Scaling.of(node)
        stream = _mve.stream_bytes(outputs, inputs, _TOGETHER)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + stream + scaling.flash_bytes,
                cycles=cycles(
                    device,
                    row_work(inputs, outputs, scaling),
                    code_bytes=_CODE_BYTES,
                    constants=stream + scaling.flash_bytes,
                ),
                scratch_bytes=4 * _mve.padded(outputs),
                overlap=(0,),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        (node,) = candidate.nodes
        if row_count(node) > 1:
            return pack_conv(node, weights)
        rows = weights[node.inputs[1].name].reshape(matrix_shape(node))
        comment = "initial sums and weights of four channels"
        return _mve.packed(
            node, rows, weights, lambda w, starts: _mve.interleaved_stream(w, starts, _TOGETHER), comment
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        if row_count(node) > 1:
            return emit_conv(candidate, as_pointwise(node), names)
        outputs, inputs = matrix_shape(node)
        scaling, prefix = _mve.Scaling.of(node), names.prefix
        stem = f"{prefix}_fully_connected_{inputs}_{outputs}"
        values = {
            "prefix": prefix,
            "inputs": inputs,
            "outputs": outputs,
            "quads": -(-outputs // _TOGETHER),
            "scaling": scaling,
        }
        layer = self.render(stem, values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['scaling']}"
        body = f"{stem}({x}, {constants}, {y}, (int32_t *)(void *){names.scratch}, {scaling.arguments});"
        parts = ("multiply_row", "requantize")
        return Code((*_mve.helpers(prefix, parts, scaling), layer), body)


FAMILY = FullyConnectedMve()
