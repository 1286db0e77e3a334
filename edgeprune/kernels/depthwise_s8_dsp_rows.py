"""Depthwise convolution by rows for cores with the DSP extension: a turn's rows are a strip of `depthwise_s8_dsp`.

The planes of four channels, or two, are filled from the rows of the turn's windows wherever these lie, and zeroed where
rows are padding. With two rows in a turn, the tiles of 2 x 2 outputs are whole, the two rows that both windows share
are filled once instead of twice, and a channel's weights are loaded once.
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._depthwise_cost import code_bytes_of, constant_bytes, depthwise_cycles, table_words
from edgeprune.kernels._dsp_planes import Axis, Planes, axes
from edgeprune.kernels._dsp_window import LARGEST_STRIDE, LARGEST_WINDOW
from edgeprune.kernels._row_windows import window_rows
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    KernelFamily,
    LayerNames,
    RowForm,
    Weights,
)
from edgeprune.kernels.depthwise_s8_dsp import layer_parts, pack_channels
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "DepthwiseRowsDsp"]

_ROWS = (4, 3, 2, 1)
"""Of a turn; more than one without dilation of rows."""
_START_INSTRUCTIONS = 25
"""What starting a channel takes besides, in instructions of the rest: it saves and restores all registers."""


class DepthwiseRowsDsp(KernelFamily):
    """int8 Conv with as many groups as input and output channels."""

    name = "depthwise_s8_dsp_rows"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if not g.group == g.in_channels == g.out_channels or g.batch > 1 or g.kernel_height == 1:
            return ()
        along = axes(g)[1]
        if along.pad >= along.window or along.window > LARGEST_WINDOW or along.stride > LARGEST_STRIDE:
            return ()
        return tuple(
            self._form(nodes, g, rows, count, device)
            for rows in _ROWS
            if rows == 1 or (rows < g.out_height and g.dilation_height == 1)
            for count in ((4, 2) if g.in_channels % 4 == 0 else (4,))
        )

    def _form(
        self, nodes: tuple[Node, ...], g: ConvGeometry, rows: int, count: int, device: Device
    ) -> RowForm:
        planes, node = _planes(g, rows, count), nodes[0]
        turn = replace(planes, across=_across(g, outputs=rows, inputs=planes.plane_rows))
        starts = _cost.cycles(device, {_cost.Kind.PLANES: _START_INSTRUCTIONS * g.in_channels})
        cycles = depthwise_cycles(g, turn, node, device) + starts
        candidate = Candidate(
            self.name,
            f"{self.name}{'' if count == 4 else '_planes2'}{f'_by{rows}' if rows > 1 else ''}",
            nodes,
            flash_bytes=code_bytes_of(planes, node) + constant_bytes(g, planes, node),
            cycles=round(g.out_height / rows * cycles),
            scratch_bytes=planes.scratch_bytes,
            parameters={"rows": rows, "planes": count},
        )
        return RowForm(candidate, nodes, {node.inputs[0].name: window_rows(g)}, rows=rows)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return pack_channels(candidate.nodes[0], _planes_of(candidate), weights)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, scaling, planes = conv_geometry(node), _dsp.Scaling.of(node), _planes_of(candidate)
        stem = (
            f"{prefix}_depthwise_{g.kernel_height}x{g.kernel_width}_"
            f"{planes.strip}_rows_of_{g.in_width}x{g.in_channels}"
        )
        values, functions = layer_parts(stem, g, planes, scaling, prefix)
        layer = self.render(stem, values)
        arguments = [
            names.tensors[node.inputs[0].name],
            *names.constants.values(),
            names.tensors[node.output.name],
            f"({prefix}_u32_t *)(void *){names.scratch}",
            *([names.rows] if planes.strip > 1 else []),
            str(node.inputs[0].zero_point),
            scaling.arguments,
        ]
        return Code((*functions, layer), f"{stem}({', '.join(arguments)});")


def _across(g: ConvGeometry, *, outputs: int, inputs: int) -> Axis:
    """The axis of rows of some outputs, whose windows leave the image wherever those of some row do."""
    down = axes(g)[0]
    leaves = down.pad > 0 or down.reach > down.inputs
    return replace(down, outputs=outputs, inputs=inputs, pad=int(leaves))


def _planes(g: ConvGeometry, rows: int, count: int) -> Planes:
    across, along = _across(g, outputs=1, inputs=axes(g)[0].window), axes(g)[1]
    return Planes.of(across, along, rows, count, table_words(across, along))


def _planes_of(candidate: Candidate) -> Planes:
    g = conv_geometry(candidate.nodes[0])
    return _planes(g, int(candidate.parameters["rows"]), int(candidate.parameters["planes"]))


FAMILY = DepthwiseRowsDsp()
