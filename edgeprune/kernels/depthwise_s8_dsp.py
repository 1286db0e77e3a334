"""Depthwise convolution for cores with the DSP extension: any kernel size, stride, dilation and padding.

Channel-last images keep neighbouring pixels of a channel far apart, while SMLAD wants them side by side. So a
strip of input rows is turned into four planes of halfwords, four channels at a time, less the zero point and
with zeros for padding. Then a window row of a channel is a few words, and each output one SMLAD per two taps.
Where that is cheaper, as for windows of one column, columns of the image become rows of the planes.

A 3 x 3 layer without a clamp goes further: `_dsp_depthwise.j2` sums tiles of 2 x 2 outputs with all weights in
registers, six instructions for the nine taps of an output; its weights come as bytes w0, w1, w1, w2, which two
SXTB16 turn into both pairs of a kernel row. Other windows are those of `_dsp_window`. Both requantise sums where
they are, unless the layer clamps or shifts left: then a row of sums is stored and scaled in C.
Weights enter as 2*w, so that sums are twice the accumulator, which must stay below 2**23; the weights prove it.

While a strip is stored, its channel groups still read its own input rows, and later strips the rows from their
first on: output may overtake input rows above, `least_distance`. Where the whole image is one strip, the planes
hold all inputs of their channels before an output is stored, and outputs of those channels take the places of their
inputs when both images start at one address and have one size. Candidates of their own, with four planes or two, do
that; at any other distance they first move the input to the output's place, which is safe wherever the input lies.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _dsp
from edgeprune.kernels._depthwise_cost import (
    code_bytes_of,
    constant_bytes,
    depthwise_cycles,
    fits_tiles,
    table_words,
)
from edgeprune.kernels._dsp_planes import Axis, Planes, axes, highest_strip, least_distance
from edgeprune.kernels._dsp_window import (
    LARGEST_STRIDE,
    LARGEST_WINDOW,
    weight_halves,
    weight_pairs,
    window_of,
)
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    Weights,
)
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = [
    "FAMILY",
    "DepthwiseDsp",
    "layer_parts",
    "pack_channels",
]

_SCRATCH_LIMITS = (4096, 1024)
"""Strips are made as high as these allow, one candidate each."""


class DepthwiseDsp(KernelFamily):
    """int8 Conv with as many groups as input and output channels."""

    name = "depthwise_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if not g.group == g.in_channels == g.out_channels or g.batch > 1:
            return ()
        down, right = axes(g)
        found = self._along(nodes, g, down, right, device)
        columns = self._along(nodes, g, right, down, device)
        if found and columns and min(c.cycles for c in columns) >= min(c.cycles for c in found):
            return found
        return (*found, *columns)

    def _along(
        self, nodes: tuple[Node, ...], g: ConvGeometry, across: Axis, along: Axis, device: Device
    ) -> tuple[Candidate, ...]:
        """Candidates whose planes have rows along one of the axes; none where a window's row is out of reach."""
        if along.pad >= along.window or along.window > LARGEST_WINDOW or along.stride > LARGEST_STRIDE:
            return ()
        table = table_words(across, along)
        strips = dict.fromkeys(highest_strip(across, along, limit, table) for limit in _SCRATCH_LIMITS)
        layouts = [Planes.of(across, along, strip, 4, table) for strip in strips]
        if g.in_channels % 4 == 0:
            layouts.append(Planes.of(across, along, 1, 2, table))
        found = [self._candidate(nodes, g, planes, device, in_place=False) for planes in layouts]
        if _works_in_place(g):
            for count in (4, 2) if g.in_channels % 2 == 0 else (4,):
                planes = Planes.of(across, along, across.outputs, count, table)
                found.append(self._candidate(nodes, g, planes, device, in_place=True))
        return tuple(found)

    def _candidate(
        self, nodes: tuple[Node, ...], g: ConvGeometry, planes: Planes, device: Device, *, in_place: bool
    ) -> Candidate:
        columns = _are_columns(g, planes)
        lanes = "" if planes.planes == 4 else f"_planes{planes.planes}"
        way = f"in_place{planes.planes}" if in_place else f"strip{planes.strip}{lanes}"
        return Candidate(
            self.name,
            f"{self.name}_{way}{'_columns' if columns else ''}",
            nodes,
            flash_bytes=code_bytes_of(planes, nodes[0]) + constant_bytes(g, planes, nodes[0]),
            cycles=depthwise_cycles(g, planes, nodes[0], device),
            scratch_bytes=planes.scratch_bytes,
            overlap=(0 if in_place else least_distance(planes),),
            parameters={
                "strip": planes.strip,
                "planes": planes.planes,
                "in_place": int(in_place),
                "columns": int(columns),
            },
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return pack_channels(candidate.nodes[0], _planes(candidate), weights)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, scaling, planes = conv_geometry(node), _dsp.Scaling.of(node), _planes(candidate)
        in_place = bool(candidate.parameters["in_place"])
        stem = (
            f"{names.prefix}_depthwise_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        values, functions = layer_parts(stem, g, planes, scaling, names.prefix)
        stem += "_in_place" if in_place else ""
        layer = self.render(stem, {**values, "in_place": in_place, "part": "layer"})
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = ", ".join(names.constants.values())
        scratch = f"({names.prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {constants}, {y}, {scratch}, {node.inputs[0].zero_point}, {scaling.arguments});"
        return Code((*functions, layer), body)


def layer_parts(
    stem: str, g: ConvGeometry, planes: Planes, scaling: _dsp.Scaling, prefix: str
) -> tuple[dict[str, object], tuple[Function, ...]]:
    """What the template of a layer sees, and the functions that the layer calls, whose names start with `stem`."""
    tiled = scaling.is_short and fits_tiles(planes)
    scale, scales = scaling.functions(prefix, 1)
    rows, row_functions = (_tiled_rows if tiled else _rows)(stem, planes, scaling, scale, prefix)
    split = "split" if planes.planes == 4 else "split2"
    fill_values = {"part": "fill", "prefix": prefix, "p": planes, "g": g, "split": split}
    fill = FAMILY.render(f"{stem}_fill", fill_values)
    values: dict[str, object] = {
        "prefix": prefix,
        "g": g,
        "p": planes,
        "scaling": scaling,
        "fill": fill.name,
        "rows_function": rows,
        "scale": scale,
        "pairs": weight_pairs(planes.along),
        "tiled": tiled,
        "sums": not scaling.is_short,
    }
    return values, (*scales, *row_functions, *_dsp.helpers(prefix, (split,)), fill)


def pack_channels(node: Node, planes: Planes, weights: Weights) -> tuple[Constant, ...]:
    """What the kernel reads for the weights of `node` where it lies in `planes`."""
    _, w, b = node.inputs
    scaling = _dsp.Scaling.of(node)
    sums = (256 * weights[b.name].astype(np.int64)).astype(np.uint32) | scaling.low_bytes()
    channels = np.stack([sums, scaling.multipliers.astype(np.uint32)], axis=1)
    if scaling.is_short and fits_tiles(planes):
        rows = np.ascontiguousarray(weights[w.name].reshape(-1, 3, 3)[..., [0, 1, 1, 2]])
        words = rows.view("<u4").reshape(-1, 3)
        comment = "initial sum, multiplier and weights of each channel"
        return (Constant("channels", "uint32_t", np.hstack([channels, words]), comment),)
    return (
        Constant("weights", "int8_t", weights[w.name], "channel by channel"),
        Constant("channels", "uint32_t", channels, "initial sum and multiplier of each channel"),
    )


def _planes(candidate: Candidate) -> Planes:
    parameters, g = candidate.parameters, conv_geometry(candidate.nodes[0])
    down, right = axes(g)
    across, along = (right, down) if parameters["columns"] else (down, right)
    table = table_words(across, along)
    return Planes.of(across, along, int(parameters["strip"]), int(parameters["planes"]), table)


def _are_columns(g: ConvGeometry, planes: Planes) -> bool:
    return planes.across == axes(g)[1] and planes.across != axes(g)[0]


def _kind(scaling: _dsp.Scaling) -> str:
    return scaling.kind if scaling.is_short else "sums"


def _tiled_rows(
    stem: str, p: Planes, scaling: _dsp.Scaling, scale: str, prefix: str
) -> tuple[str, tuple[Function, ...]]:
    """The name of the function that computes rows of outputs from 3 x 3 windows; and the functions it needs."""
    name = f"{stem}_rows_{scaling.kind}"
    text = render(
        "kernels/_dsp_depthwise.j2",
        {"prefix": prefix, "name": name, "scale": scale, "p": p, "scaling": scaling},
    )
    return name, (*_dsp.helpers(prefix, ("portable_smlad",)), Function(name, text))


def _rows(
    stem: str, p: Planes, scaling: _dsp.Scaling, scale: str, prefix: str
) -> tuple[str, tuple[Function, ...]]:
    """The same for any window; without a short scaling it stores one row of sums."""
    name = f"{stem}_rows_{_kind(scaling)}"
    values = {
        "prefix": prefix,
        "name": name,
        "scale": scale,
        "p": p,
        "w": window_of(p, _kind(scaling)),
        "pairs": weight_pairs(p.along),
        "taps": weight_halves(p.along),
        "sums": not scaling.is_short,
    }
    text = render("kernels/_dsp_window.j2", values)
    return name, (*_dsp.helpers(prefix, ("portable_smlad",)), Function(name, text))


def _works_in_place(g: ConvGeometry) -> bool:
    """Whether output and input have one size, and no group of four channels reads a channel of another."""
    same_size = (g.out_height, g.out_width) == (g.in_height, g.in_width)
    return same_size and (g.in_channels % 4 == 0 or g.in_channels < 4)


FAMILY = DepthwiseDsp()
