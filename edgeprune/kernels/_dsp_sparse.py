"""The frame of sparse convolutions for the DSP extension: pixels come in blocks, all output channels of which follow.

The windows of a block's pixels are copied to a buffer, unless they lie side by side in the input already; spread over
planes, the form in which the kernel picks its inputs; and multiplied with what is left of the weights. A last block of
fewer pixels computes all the same from what the buffer holds, and only outputs that exist are copied from a buffer of
its own. All windows of a block are read before its first output is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_conv import (
    Cost,
    inside_rows,
    is_flat,
    least_distance,
    output_pixels,
    window_words,
)
from edgeprune.kernels._fully_connected import as_pointwise
from edgeprune.kernels._sparsity import weight_rows
from edgeprune.kernels.base import Code, Function, LayerNames
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["Frame", "emit_frame", "frame_cost", "frame_geometry", "sparse_convolution"]

_CODE_BYTES = 300
"""Of the function that walks over the image, about."""
_SPREAD_INSTRUCTIONS = MappingProxyType({"bytes": 29, "halfwords": 60, "columns": 26})
"""For a word of four inputs of each of a block's pixels."""
_CALL_INSTRUCTIONS = 40
"""For each block of pixels, outside of what its kernel does."""


@dataclass(frozen=True)
class Frame:
    """`pixels` at a time, in `form`, for which the kernel has `plane_words` words of scratch.

    "bytes": a word holds an input of 4 pixels; "halfwords": four words hold an input of 8; "columns": odd and even
    lanes of 4 pixels, as `_dsp` describes them.
    """

    form: Literal["bytes", "halfwords", "columns"]
    plane_words: int

    @property
    def pixels(self) -> int:
        return 8 if self.form == "halfwords" else 4

    def blocks(self, g: ConvGeometry) -> int:
        """How many blocks all pixels of `g` take."""
        return -(-output_pixels(g) // self.pixels)


def sparse_convolution(
    nodes: tuple[Node, ...], device: Device, most_outputs: int
) -> tuple[ConvGeometry, Array] | None:
    """Geometry and weights [outputs, K] of the one of `nodes`, where the frame takes it and zeros may pay.

    It takes convolutions of one group, and rows times a matrix, to several pixels and up to `most_outputs` channels.
    """
    if not device.dsp or len(nodes) != 1 or nodes[0].op not in ("Conv", "FullyConnected"):
        return None
    if nodes[0].op == "Conv" and nodes[0].int("group") > 1:
        return None
    g, rows = frame_geometry(nodes[0]), weight_rows(nodes[0])
    if rows is None or output_pixels(g) == 1 or not 1 < g.out_channels <= most_outputs:
        return None
    return g, rows


def frame_geometry(node: Node) -> ConvGeometry:
    """`node`, a Conv or FullyConnected, as a convolution."""
    return conv_geometry(node) if node.op == "Conv" else as_pointwise(node)


def emit_frame(
    node: Node,
    g: ConvGeometry,
    names: LayerNames,
    frame: Frame,
    compute: tuple[Function, ...],
    places: str = "",
) -> Code:
    """The C of `node` by the last of the functions `compute`, called for every block of pixels.

    Its arguments are planes, stream, where `places` (a C type) is not empty the places, y, and twice the output's zero
    point plus 1.
    """
    prefix, words = names.prefix, window_words(g)
    flat = _is_whole_words(g)
    stride = g.in_channels if flat else 4 * words
    spread = _spread(prefix, frame, stride)
    stem = (
        compute[-1].name + f"_{g.kernel_height}x{g.kernel_width}_{g.in_height}x{g.in_width}x{g.in_channels}"
    )
    values = {
        "part": "layer",
        "prefix": prefix,
        "name": stem,
        "g": g,
        "flat": flat,
        "words": words,
        "pixels": frame.pixels,
        "plane_words": frame.plane_words,
        "spread": spread[-1].name,
        "compute": compute[-1].name,
        "places": places,
        "inside_rows": inside_rows(g),
    }
    layer = Function(stem, render("kernels/_dsp_sparse.j2", values))
    copies = () if flat else (_part("copy_words", prefix, f"{prefix}_copy_words"),)
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    zero = f"{node.inputs[0].zero_point}, " if g.is_padded else ""
    where = f"{names.constants['places']}, " if places else ""
    planes = f"({prefix}_u32_t *)(void *){names.scratch}"
    body = f"{stem}({x}, {names.constants['stream']}, {where}{y}, {planes}, {zero}{node.output.zero_point});"
    return Code((*spread, *copies, *compute, layer), body)


def frame_cost(
    g: ConvGeometry,
    frame: Frame,
    device: Device,
    code_bytes: int,
    constant_bytes: int,
    instructions: Mapping[_cost.Kind, float],
) -> Cost:
    """What a layer costs whose function for blocks of pixels reads all its constants for each.

    `code_bytes` and `instructions` are those of that function, for all blocks, counted in the code generated for
    Cortex-M4; the frame's own are added.
    """
    times = frame.blocks(g)
    cycles = (
        _window_cycles(g, frame, device)
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, code_bytes)
        + _cost.read_waits(device, constant_bytes, loads=times * constant_bytes / 4, passes=times)
    )
    ends = np.arange(frame.pixels, output_pixels(g), frame.pixels)
    return Cost(
        flash_bytes=_CODE_BYTES + code_bytes + constant_bytes,
        cycles=round(cycles),
        scratch_bytes=_scratch_bytes(g, frame),
        overlap=(least_distance(g, ends),),
    )


def _scratch_bytes(g: ConvGeometry, frame: Frame) -> int:
    """Planes, windows where they are copied, outputs of a last block that is not whole; a multiple of 8."""
    tail = output_pixels(g) % frame.pixels
    windows = 0 if _is_whole_words(g) and not tail else frame.pixels * 4 * window_words(g)
    outputs = frame.pixels * g.out_channels if tail else 0
    return -(-(4 * frame.plane_words + windows + outputs) // 8) * 8


def _window_cycles(g: ConvGeometry, frame: Frame, device: Device) -> float:
    """Cycles of what precedes the products, for all blocks: counted in the code generated for Cortex-M4."""
    gather = _SPREAD_INSTRUCTIONS[frame.form] * window_words(g) + _CALL_INSTRUCTIONS
    copied = 0.0
    if not _is_whole_words(g):
        copied = output_pixels(g) * (4 * window_words(g) + 35 * g.kernel_height)
    instructions = {_cost.Kind.GATHER: frame.blocks(g) * gather + copied}
    return _cost.cycles(device, instructions) + _cost.code_waits(device, _CODE_BYTES)


def _is_whole_words(g: ConvGeometry) -> bool:
    """Whether windows are the input's own pixels, of whole words."""
    return is_flat(g) and g.in_channels % 4 == 0


def _spread(prefix: str, frame: Frame, stride: int) -> tuple[Function, ...]:
    """The function that brings windows `stride` bytes apart into the frame's form, last, and what it needs."""
    if frame.form == "columns":
        return _dsp.expand_lanes(prefix, frame.pixels, stride, wide=False)[1]
    name = f"{prefix}_transpose{frame.pixels}_{stride}"
    function = _part(f"transpose{frame.pixels}", prefix, name, stride=stride)
    if frame.form == "bytes":
        return (function,)
    needed = _dsp.helpers(prefix, ("sxtb16", "sxtb16_1"))
    return (*needed, _part("side_by_side", prefix, f"{prefix}_side_by_side"), function)


def _part(part: str, prefix: str, name: str, **values: object) -> Function:
    return Function(
        name, render("kernels/_dsp_sparse.j2", {"part": part, "prefix": prefix, "name": name, **values})
    )
