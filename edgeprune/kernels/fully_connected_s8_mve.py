"""Fully connected layers for cores with Helium: one row by 4 output channels, 16 inputs at a time.

A row's sums are all made before they are scaled, sixteen at a time. Several rows, as in sequence models, are the
pixels of a pointwise convolution: see `conv_s8_mve`. A convolution whose window is the whole image is one row too.

Overlap: every output is stored after the last input of its row was read, so one row may even be in place.
"""

from __future__ import annotations

import math

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _mve
from edgeprune.kernels._mve_cost import cycles, row_work
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_mve import candidates_of, emit_conv, pack_conv
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "FullyConnectedMve"]

_CODE_BYTES = 450
"""Of a layer and its helpers, about."""
_TOGETHER = 4


class FullyConnectedMve(KernelFamily):
    """int8 FullyConnected, one row or several, and Conv with a single window."""

    name = "fully_connected_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or not _is_fully_connected(nodes[0]):
            return ()
        (node,) = nodes
        if _rows(node) > 1:
            return candidates_of(self.name, f"{self.name}_rows", node, _as_pointwise(node), device)
        outputs, inputs = _matrix_shape(node)
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
        if _rows(node) > 1:
            return pack_conv(node, weights)
        x, w, b = node.inputs
        rows = weights[w.name].reshape(_matrix_shape(node))
        starts = _mve.initial_sums(rows, weights[b.name], x.zero_point)
        stream = _mve.interleaved_stream(rows, starts, _TOGETHER)
        comment = "initial sums and weights of four channels"
        return (Constant("stream", "int8_t", stream, comment, align=8), _mve.Scaling.of(node).constant())

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        if _rows(node) > 1:
            return emit_conv(candidate, _as_pointwise(node), names)
        outputs, inputs = _matrix_shape(node)
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


def _is_fully_connected(node: Node) -> bool:
    if len(node.inputs) < 2 or node.inputs[1].dtype != "int8":
        return False
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


FAMILY = FullyConnectedMve()
