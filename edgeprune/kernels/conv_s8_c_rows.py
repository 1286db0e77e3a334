"""Portable C for int8 convolution row by row: one output pixel, four output channels at a time, through row pointers.

The sums are those of `conv_s8_c` and `depthwise_s8_c`, kernel row by kernel row; rows of padding are left out, because
positions outside the image contribute nothing.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    edges,
    requantization_constants,
    taps_inside,
    weighted_arguments,
)
from edgeprune.kernels._row_windows import window_rows
from edgeprune.kernels._sums import (
    BLOCK,
    block_sizes,
    depthwise_function,
    depthwise_name,
    multiply_function,
    multiply_name,
    store_function,
    sum_cycles,
    sum_instructions,
    weight_type,
    weight_waits,
    weights_constant,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, RowForm, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvRowsPortable"]

_CODE_BYTES = 400


class ConvRowsPortable(KernelFamily):
    """int8 Conv of any geometry."""

    name = "conv_s8_c_rows"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if g.batch != 1 or g.kernel_height == 1:
            return ()
        candidate = Candidate(
            self.name,
            self.name,
            nodes,
            flash_bytes=_CODE_BYTES + nodes[0].inputs[1].bytes + g.out_channels * REQUANTIZE_BYTES,
            cycles=_cycles(g, nodes[0], device),
        )
        return (RowForm(candidate, nodes, {nodes[0].inputs[0].name: window_rows(g)}),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        values = weights[node.inputs[1].name]
        packed = values.transpose(1, 2, 3, 0) if _is_depthwise(conv_geometry(node)) else values
        return (weights_constant(packed), *requantization_constants(node, weights[node.inputs[2].name]))

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, store, stored = conv_geometry(node), store_function(prefix, node), weight_type(node)
        depthwise = _is_depthwise(g)
        multiply, function = (
            (depthwise_name, depthwise_function) if depthwise else (multiply_name, multiply_function)
        )
        stem = (
            f"{prefix}_{'depthwise' if depthwise else 'conv'}_{g.kernel_height}x{g.kernel_width}_"
            f"rows_of_{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        sides = edges(g)
        values = {
            "multiply": multiply(prefix, stored),
            "weight": f"{stored}_t",
            "store": store.name,
            "g": g,
            "edges": sides,
            "depthwise": depthwise,
        }
        layer = self.render(stem, values)
        outputs = g.in_channels if depthwise else g.group_out_channels
        sums = [function(prefix, count, stored) for count in block_sizes(outputs)]
        return Code((*sums, store, layer), f"{stem}({weighted_arguments(node, names)});")


def _is_depthwise(g: ConvGeometry) -> bool:
    return g.is_depthwise and g.out_channels == g.in_channels


def _cycles(g: ConvGeometry, node: Node, device: Device) -> int:
    """Of all rows, from instructions counted on Cortex-M3 as for kernels of whole images."""
    rows, columns = taps_inside(g)
    pixels = g.out_height * g.out_width
    outputs = pixels * (g.out_channels * REQUANTIZE_INSTRUCTIONS + 30)
    waits = _cost.code_waits(device, _CODE_BYTES)
    if _is_depthwise(g):
        fours, ones = divmod(g.in_channels, BLOCK)
        taps = rows * columns * (21 * fours + 9 * ones) + (fours + ones) * g.out_width * 34 * rows
        return round(
            _cost.cycles(device, {_cost.Kind.SCALAR: taps + outputs})
            + waits
            + weight_waits(device, node, rows * columns * g.in_channels, pixels)
        )
    products = rows * columns * g.group_in_channels
    whole = g.group == 1 and g.dilation_width == 1
    sums = sum_instructions(
        g.group_out_channels,
        products=products,
        calls=pixels,
        rows=rows * (g.out_width if whole else columns),
    )
    sums = {
        **sums,
        _cost.Kind.SUMS: g.group * sums[_cost.Kind.SUMS],
        _cost.Kind.SCALAR: g.group * sums[_cost.Kind.SCALAR],
    }
    return round(
        sum_cycles(device, sums, outputs)
        + waits
        + weight_waits(device, node, products * g.out_channels, pixels)
    )


FAMILY = ConvRowsPortable()
