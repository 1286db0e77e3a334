"""Convolution for cores with a 32-bit multiplication only: blocks of 3 output pixels by 4 output channels.

The windows of three pixels are packed, two words a tap (see `_mul32`), and multiplied with all channels before any
of the block's outputs is stored; what lacks in the last block repeats its last pixel and is not stored. Rows of a
window that leave the image are copied beside padding first; all others are packed where they are.

Because a block is packed before it is stored, output may overtake input already packed: `_least_distance` compares,
after every block, the end of the stored output with the first input byte still to be read.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp, _mul32
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_c import Combine
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "ConvMul32", "cost", "emit_blocks", "offered"]

_CODE_BYTES = 400
"""Of a layer's own function, about; the other functions are shared by all layers."""


class ConvMul32(KernelFamily):
    """int8 Conv of one image with one group."""

    name = "conv_s8_mul32"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if device.core not in _mul32.CORES or len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if g.group != 1 or g.batch != 1:
            return ()
        return offered(self.name, nodes[0], g, device)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        rows = w.reshape(w.shape[0], -1)
        sums_fit = bool(candidate.parameters["chunks"]) or _mul32.whole_is_exact(rows)
        return _dsp.is_within_range(node, w, b) and sums_fit

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        rows = weights[w.name].reshape(w.shape[0], -1)
        stream = _mul32.stream(rows, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        return (Constant("stream", "uint32_t", stream, "heads and weights of four channels at a time"),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        return emit_blocks(candidate, node, conv_geometry(node), names)


class Cost(TypedDict):
    """The costs of a Candidate."""

    flash_bytes: int
    cycles: int
    scratch_bytes: int
    overlap: tuple[int | None, ...]


def offered(family: str, node: Node, g: ConvGeometry, device: Device) -> tuple[Candidate, ...]:
    """The candidates of `node` as a convolution of geometry `g`: sums whole, and in chunks where they may be long."""
    return tuple(
        Candidate(
            family,
            f"{family}_chunks" if chunks else family,
            (node,),
            **cost(node, g, device, chunks),
            parameters={"core": device.core, "chunks": chunks},
        )
        for chunks in ((0, 1) if g.taps > _mul32.CHUNK_TAPS else (0,))
    )


def cost(node: Node, g: ConvGeometry, device: Device, chunks: int) -> Cost:
    """What `node` costs as a convolution of geometry `g`."""
    return Cost(
        flash_bytes=_CODE_BYTES + _mul32.stream_bytes(g.out_channels, g.taps),
        cycles=_cycles(g, node, device, chunks),
        scratch_bytes=_scratch_bytes(g),
        overlap=(_least_distance(g),),
    )


def emit_blocks(
    candidate: Candidate, node: Node, g: ConvGeometry, names: LayerNames, combine: Combine | None = None
) -> Code:
    """The C of `node`, with inputs x, w, b, as a convolution of geometry `g` whose constant is "stream".

    With `combine` its output holds one block, whose pixels, `lane` by `lane`, are combined when it is done.
    """
    scaling, prefix = _dsp.Scaling.of(node), names.prefix
    core, chunks = str(candidate.parameters["core"]), bool(candidate.parameters["chunks"])
    block, functions = _mul32.block_functions(prefix, scaling, core, chunks=chunks)
    pack = _mul32.pack_function(prefix)
    stem = (
        f"{prefix}_conv{'_add' if combine else ''}_{g.kernel_height}x{g.kernel_width}_"
        f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
    )
    values = {
        "name": stem,
        "prefix": prefix,
        "g": g,
        "flat": _is_flat(g),
        "dense": g.dilation_width == 1,
        "taps": _mul32.padded_taps(g.taps),
        "block": block,
        "pack": pack.name,
        "scaling": scaling,
        "combine": combine,
    }
    layer = Function(stem, render("kernels/conv_s8_mul32.c.j2", values))
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    columns = f"({prefix}_u32_t *)(void *){names.scratch}"
    zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    body = f"{stem}({x}, {names.constants['stream']}, {y}, {columns}, {zero}{scaling.arguments}"
    body += f", {combine.arguments});" if combine else ");"
    return Code((*functions, pack, *((combine.function,) if combine else ()), layer), body)


def _is_flat(g: ConvGeometry) -> bool:
    """Whether the windows are the input's own pixels, one after the other."""
    same_size = (g.out_height, g.out_width) == (g.in_height, g.in_width)
    return g.taps == g.in_channels and not g.is_padded and same_size


def _pixels(g: ConvGeometry) -> int:
    return g.out_height * g.out_width


def _row(g: ConvGeometry) -> int:
    """Inputs of a window that lie side by side."""
    return g.in_channels * (g.kernel_width if g.dilation_width == 1 else 1)


def _scratch_bytes(g: ConvGeometry) -> int:
    """Packed columns, and for padded images a row of each pixel and one of padding; a multiple of 8."""
    rows = (_mul32.LANES + 1) * _row(g) if g.is_padded else 0
    return -(-(8 * _mul32.padded_taps(g.taps) + rows) // 8) * 8


def _least_distance(g: ConvGeometry) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten."""
    oy, ox = np.divmod(np.arange(_pixels(g), dtype=np.int64), g.out_width)
    iy = np.maximum(oy * g.stride_height - g.pad_top, 0)
    ix = np.maximum(ox * g.stride_width - g.pad_left, 0)
    first = np.minimum(iy * g.in_width + ix, g.in_height * g.in_width) * g.in_channels
    unread = np.minimum.accumulate(first[::-1])[::-1]
    ends = np.arange(_mul32.LANES, len(first), _mul32.LANES)
    return max(0, int((ends * g.out_channels - unread[ends]).max(initial=0)))


def _cycles(g: ConvGeometry, node: Node, device: Device, chunks: int) -> int:
    """From instructions of the code generated for each core, and the flash's waits for weights and code.

    A block costs 40, and each stretch of a window 75 for its three pixels, half as much where no padding is near.
    """
    core = _mul32.CORES[device.core]
    taps, groups = _mul32.padded_taps(g.taps), -(-g.out_channels // _mul32.CHANNELS)
    blocks = -(-_pixels(g) // _mul32.LANES)
    stretches = 0 if _is_flat(g) else g.taps // _row(g)
    parts = -(-taps // _mul32.CHUNK_TAPS) if chunks else 1
    instructions = {
        _cost.Kind.MULTIPLY: blocks * groups * (core.tap * taps + core.group * parts),
        _cost.Kind.SCALE: blocks * (g.out_channels * core.scale + groups * (80 * parts if chunks else 0)),
        _cost.Kind.GATHER: blocks * (40 + core.pack * g.taps + stretches * (75 if g.is_padded else 40)),
    }
    stream = _mul32.stream_bytes(g.out_channels, g.taps)
    loads = blocks * stream / 4 * (4 if core.isa == "thumb1" else 1)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, stream, loads=loads, passes=blocks)
    )


FAMILY = ConvMul32()
