"""Depthwise convolution for cores with a 32-bit multiplication only: several neighbouring outputs of a channel at once.

Rows of the padded image are copied into a ring of as many rows as a window spans, so that no window leaves it. A
block of outputs side by side then loads each input of a row once for all windows it is in, and each weight once for
all outputs: outputs * kernel products for outputs + kernel - 1 inputs at stride 1. Rows of a kernel above
`_TAPS` wide are taken piece by piece, because the registers hold no more weights.

Output rows follow input rows that are already in the ring, so output may overtake input already copied:
`_least_distance` compares, after every row, the end of the stored output with the first row still to be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp, _mul32
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "DepthwiseMul32"]

_CODE_BYTES = 800
_TAPS = 3
"""Weights of a kernel row at a time."""


class DepthwiseMul32(KernelFamily):
    """int8 Conv of one image with as many groups as input and output channels."""

    name = "depthwise_s8_mul32"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if device.core not in _mul32.CORES or len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if not g.is_depthwise or g.out_channels != g.in_channels or g.batch != 1:
            return ()
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + g.in_channels * (8 + g.kernel_height * g.kernel_width),
                cycles=_cycles(g, device),
                scratch_bytes=_scratch_bytes(g),
                overlap=(_least_distance(g),),
                parameters={"core": device.core},
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        rows = weights[w.name].reshape(w.shape[0], -1)
        heads = _mul32.channel_heads(rows, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        return (
            Constant("weights", "int8_t", rows, "kernel of each channel", align=1),
            Constant("heads", "uint32_t", heads, "initial sum with shift, and multiplier, of each channel"),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, scaling = conv_geometry(node), _dsp.Scaling.of(node)
        core = str(candidate.parameters["core"])
        sizes = _blocks(g, _mul32.CORES[core].outputs)
        scale, scales = _mul32.scale_functions(prefix, scaling, core)
        shape = f"{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}"
        stem = f"{prefix}_depthwise_{shape}"
        values = {"prefix": prefix, "g": g, "ring": Ring.of(g), "scaling": scaling, "scale": scale}
        copy, fill = _mul32.row_functions(prefix)
        blocks = [
            self.render(
                f"{prefix}_depthwise_{count}_outputs_{shape}",
                {**values, "part": "block", "count": count, "pieces": _pieces(g, count)},
            )
            for count in sorted(set(sizes), reverse=True)
        ]
        layer = self.render(
            stem,
            {
                **values,
                "part": "layer",
                "blocks": _calls(sizes, blocks),
                "copy": copy.name,
                "fill": fill.name,
            },
        )
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['weights']}, {names.constants['heads']}"
        zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
        body = f"{stem}({x}, {constants}, {y}, (int8_t *){names.scratch}, {zero}{scaling.arguments});"
        return Code((*scales, copy, *((fill,) if g.is_padded else ()), *blocks, layer), body)


@dataclass(frozen=True)
class Ring:
    """The rows that are kept: `rows` of `row_bytes` each, and one of padding behind them if windows leave the image
    above or below."""

    rows: int
    row_bytes: int
    padding: bool

    @staticmethod
    def of(g: ConvGeometry) -> Ring:
        """The rows that the windows of one row of outputs span."""
        width = (g.out_width - 1) * g.stride_width + (g.kernel_width - 1) * g.dilation_width + 1
        last = (g.out_height - 1) * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
        return Ring(
            rows=(g.kernel_height - 1) * g.dilation_height + 1,
            row_bytes=max(width, g.pad_left + g.in_width) * g.in_channels,
            padding=g.pad_top > 0 or last >= g.in_height,
        )


def _blocks(g: ConvGeometry, limit: int) -> tuple[int, ...]:
    """Outputs of each block of a row, at most `limit`: as few blocks as there can be, all alike if they can."""
    count = -(-g.out_width // limit)
    size = -(-g.out_width // count)
    return (*((size,) * (g.out_width // size)), *((g.out_width % size,) if g.out_width % size else ()))


def _calls(sizes: tuple[int, ...], blocks: list[Function]) -> list[tuple[str, int, int]]:
    """For each size of block the function, how many there are, and their outputs."""
    return [
        (function.name, sizes.count(size), size)
        for function, size in zip(blocks, sorted(set(sizes), reverse=True), strict=True)
    ]


Piece = tuple[tuple[int, ...], tuple[tuple[int, tuple[tuple[int, int], ...]], ...]]
"""Weights of a kernel row, and for each input they meet its column and (output, weight) pairs."""


def _pieces(g: ConvGeometry, count: int) -> tuple[Piece, ...]:
    """The products of a kernel row for `count` outputs side by side, in pieces of at most `_TAPS` weights."""
    pieces = []
    for first in range(0, g.kernel_width, _TAPS):
        taps = tuple(range(first, min(first + _TAPS, g.kernel_width)))
        uses: dict[int, list[tuple[int, int]]] = {}
        for output in range(count):
            for tap in taps:
                uses.setdefault(output * g.stride_width + tap * g.dilation_width, []).append((output, tap))
        pieces.append((taps, tuple((column, tuple(uses[column])) for column in sorted(uses))))
    return tuple(pieces)


def _scratch_bytes(g: ConvGeometry) -> int:
    ring = Ring.of(g)
    return -(-ring.row_bytes * (ring.rows + ring.padding) // 8) * 8


def _least_distance(g: ConvGeometry) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    When row oy is stored, all input rows up to the last of its window have been copied.
    """
    oy = np.arange(g.out_height, dtype=np.int64)
    last = oy * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
    unread = np.clip(last + 1, 0, g.in_height) * g.in_width * g.in_channels
    stored = (oy + 1) * g.out_width * g.out_channels
    still_read = unread < g.in_height * g.in_width * g.in_channels
    return max(0, int((stored - unread)[still_read].max(initial=0)))


def _cycles(g: ConvGeometry, device: Device) -> int:
    """From instructions counted in the generated code of each core, and the flash's waits for weights and code."""
    core = _mul32.CORES[device.core]
    per_channel = 0.0
    for count in _blocks(g, core.outputs):
        loads = sum(len(taps) + len(columns) for taps, columns in _pieces(g, count))
        row = loads * core.load + count * g.kernel_width * core.product + 6 * core.load
        per_channel += g.kernel_height * row + count * core.output + 28 * core.load
    copied = g.in_height * (g.in_width * g.in_channels * 0.6 + 40)
    blocks = g.out_height * len(_blocks(g, core.outputs))
    constants = g.in_channels * (g.kernel_height * g.kernel_width + 8)
    loads = blocks * g.in_channels * (g.kernel_height * g.kernel_width + 2)
    return round(
        _cost.cycles(
            device,
            {_cost.Kind.PLANES: g.out_height * g.in_channels * per_channel, _cost.Kind.SCALAR: copied},
        )
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, constants, loads=loads, passes=blocks)
    )


FAMILY = DepthwiseMul32()
