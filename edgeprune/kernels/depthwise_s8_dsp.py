"""Depthwise convolution for cores with the DSP extension: any kernel size, stride and padding.

Channel-last images keep neighbouring pixels of a channel far apart, while SMLAD wants them side by side. So a
strip of input rows is turned into four planes of halfwords, four channels at a time, less the zero point and
with zeros for padding. Then a window row of a channel is a few words, and each output one SMLAD per two taps.
Windows of odd stride start at even and odd inputs in turn; weights are paired for both (`Tiling.pairs`).

A 3 x 3 layer without a clamp goes further: `_dsp_depthwise.j2` sums tiles of 2 x 2 outputs in registers, six
instructions for the nine taps of an output, and requantises them there. Its weights enter as 2*w.

Otherwise weights enter as 256*w, which int16 holds even for w = -128, so that sums are 256 times the accumulator
and share the requantisation of `_dsp`. The accumulator must stay below 2**23, which the weights prove.

While a strip is stored, its channel groups still read its own input rows, and later strips the rows from their
first on: output may overtake input rows above, `_least_distance`. Where the whole image is one strip, the planes
hold all inputs of their channels before an output is stored, and outputs of those channels take the places of their
inputs when both images start at one address and have one size. Candidates of their own, with four planes or two, do
that; at any other distance they first move the input to the output's place, which is safe wherever the input lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry
from edgeprune.templating import render

__all__ = ["FAMILY", "DepthwiseDsp", "Tiling"]

_CODE_BYTES = 650
"""Of a layer's own function, about; helpers are shared by all layers."""
_SCRATCH_LIMITS = (4096, 1024)
"""Strips are made as high as these allow, one candidate each."""


@dataclass(frozen=True)
class Tiling:
    """How a strip of `strip` output rows lies in scratch.

    A window row takes `even_words` words when it starts at an even input and `odd_words` at an odd one (0 when
    none does); outputs are computed in `pairs_per_row` pairs. `pairs` are the indices of the weights of a kernel
    row that share a word, None for zero, in the order of the table of weights. Of an input row, `whole_pairs`
    words hold two inputs each; before them stands one input alone where the padding is odd, after them one where
    `single_last`. `planes` channels, 4 or 2, are in scratch together.
    """

    strip: int
    planes: int
    window_rows: int
    plane_rows: int
    row_words: int
    even_words: int
    odd_words: int
    pairs_per_row: int
    table_words: int
    pairs: tuple[tuple[int | None, int | None], ...]
    whole_pairs: int
    single_last: bool

    @staticmethod
    def of(g: ConvGeometry, strip: int, planes: int = 4) -> Tiling:
        """The tiling of geometry `g` by strips of `strip` output rows."""
        taps: list[int | None] = list(range(g.kernel_width))
        even, odd = _in_pairs(taps), _in_pairs([None, *taps]) if g.stride_width % 2 else ()
        pairs_per_row = -(-g.out_width // 2)
        widest = max(len(even), g.stride_width // 2 + len(odd or even))
        window_rows = (g.kernel_height - 1) * g.dilation_height + 1
        pairs = ((0, 1), (1, 2)) if _is_unrolled(g) else (*even, *odd)
        row_words = (pairs_per_row - 1) * g.stride_width + widest
        inputs = min(g.in_width, 2 * row_words - g.pad_left) - g.pad_left % 2
        return Tiling(
            strip=strip,
            planes=planes,
            window_rows=window_rows,
            plane_rows=(strip - 1) * g.stride_height + window_rows,
            row_words=row_words,
            even_words=len(even),
            odd_words=len(odd),
            pairs_per_row=pairs_per_row,
            table_words=g.kernel_height * len(pairs),
            pairs=pairs,
            whole_pairs=inputs // 2,
            single_last=inputs % 2 == 1,
        )

    @property
    def scratch_bytes(self) -> int:
        """The planes, a channel's table of weights and a row of sums; a multiple of 8."""
        words = self.planes * self.plane_rows * self.row_words + max(
            self.table_words + 2 * self.pairs_per_row, 10
        )
        return -(-words // 2) * 8


class DepthwiseDsp(KernelFamily):
    """int8 Conv with as many groups as input and output channels."""

    name = "depthwise_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv":
            return ()
        g = conv_geometry(nodes[0])
        if not g.group == g.in_channels == g.out_channels or g.dilation_width > 1 or g.batch > 1:
            return ()
        if g.pad_left >= g.kernel_width:  # a first window without any input
            return ()
        strips = dict.fromkeys(_highest_strip(g, limit) for limit in _SCRATCH_LIMITS)
        strip_tilings = [Tiling.of(g, strip) for strip in strips]
        if g.in_channels % 4 == 0:
            strip_tilings.append(Tiling.of(g, 1, 2))
        found = [self._candidate(nodes, g, tiling, device, in_place=False) for tiling in strip_tilings]
        if _works_in_place(g):
            planes = (4, 2) if g.in_channels % 2 == 0 else (4,)
            tilings = [Tiling.of(g, g.out_height, count) for count in planes]
            found += [self._candidate(nodes, g, tiling, device, in_place=True) for tiling in tilings]
        return tuple(found)

    def _candidate(
        self, nodes: tuple[Node, ...], g: ConvGeometry, tiling: Tiling, device: Device, *, in_place: bool
    ) -> Candidate:
        lanes = "" if tiling.planes == 4 else f"_planes{tiling.planes}"
        return Candidate(
            self.name,
            f"{self.name}_{f'in_place{tiling.planes}' if in_place else f'strip{tiling.strip}{lanes}'}",
            nodes,
            flash_bytes=_CODE_BYTES + g.in_channels * (g.taps + 8),
            cycles=_cycles(g, tiling, _is_fused(g, tiling, nodes[0]), device),
            scratch_bytes=tiling.scratch_bytes,
            overlap=(0 if in_place else _least_distance(g, tiling),),
            parameters={"strip": tiling.strip, "planes": tiling.planes, "in_place": int(in_place)},
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        _, w, b = candidate.nodes[0].inputs
        scaling = _dsp.Scaling.of(candidate.nodes[0])
        sums = (256 * weights[b.name].astype(np.int64)).astype(np.uint32) | scaling.low_bytes()
        channels = np.stack([sums, scaling.multipliers.astype(np.uint32)], axis=1)
        return (
            Constant("weights", "int8_t", weights[w.name], "channel by channel"),
            Constant("channels", "uint32_t", channels, "initial sum and multiplier of each channel"),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, scaling = conv_geometry(node), _dsp.Scaling.of(node)
        tiling = Tiling.of(g, int(candidate.parameters["strip"]), int(candidate.parameters["planes"]))
        stem = (
            f"{names.prefix}_depthwise_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        in_place = bool(candidate.parameters["in_place"])
        stem += "_in_place" if in_place else ""
        split = "split" if tiling.planes == 4 else "split2"
        values: dict[str, object] = {
            "prefix": names.prefix,
            "g": g,
            "t": tiling,
            "scaling": scaling,
            "in_place": in_place,
            "split": split,
        }
        if _is_fused(g, tiling, node) and scaling.kind != "general":
            rows = _fused_rows(values, scaling, names.prefix)
            layer = self.render(stem, {**values, "part": "layer", "fused": rows[-1].name})
        else:
            rows, layer = self._with_sums(stem, g, tiling, values, scaling, names.prefix)
        functions = (*rows, *_dsp.helpers(names.prefix, (split,)), layer)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['weights']}, {names.constants['channels']}"
        planes = f"({names.prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {constants}, {y}, {planes}, {node.inputs[0].zero_point}, {scaling.arguments});"
        return Code(functions, body)

    def _with_sums(
        self,
        stem: str,
        g: ConvGeometry,
        tiling: Tiling,
        values: dict[str, object],
        scaling: _dsp.Scaling,
        prefix: str,
    ) -> tuple[tuple[Function, ...], Function]:
        """The layer that sums a row of outputs, then scales it; and the functions it needs."""
        correlate, correlates = self._correlate(g, tiling, prefix)
        scale, scales = scaling.functions(prefix)
        more = {"part": "layer", "fused": "", "correlate": correlate, "scale": scale}
        return (*scales, *correlates), self.render(stem, {**values, **more})

    def _correlate(self, g: ConvGeometry, tiling: Tiling, prefix: str) -> tuple[str, tuple[Function, ...]]:
        """The function that sums one row of outputs, and what it needs, itself last."""
        if _is_unrolled(g):
            part = f"depthwise_3x3_stride{g.stride_width}"
            return f"{prefix}_{part}", _dsp.helpers(prefix, (part,))
        stem = f"{prefix}_correlate_{g.kernel_height}x{g.kernel_width}_stride{g.stride_width}"
        function = self.render(stem, {"part": "correlate", "prefix": prefix, "g": g, "t": tiling})
        return stem, (*_dsp.helpers(prefix, ("smlad",)), function)


def _is_unrolled(g: ConvGeometry) -> bool:
    """Whether the hand-scheduled 3 x 3 function serves this geometry."""
    return (g.kernel_height, g.kernel_width) == (3, 3) and g.stride_width in (1, 2)


def _is_fused(g: ConvGeometry, t: Tiling, node: Node) -> bool:
    """Whether `_dsp_depthwise.j2` serves this layer: 3 x 3, no clamp, and offsets that instructions can hold."""
    inputs = 4 * t.row_words * (g.stride_height + 3)
    outputs = (g.out_width + 1) * g.out_channels
    unclamped = node.ints("clamp") == (-128, 127)
    return _is_unrolled(g) and g.dilation_height == 1 and unclamped and max(inputs, outputs) < 4096


def _fused_rows(values: dict[str, object], scaling: _dsp.Scaling, prefix: str) -> tuple[Function, ...]:
    """The function that computes rows of outputs from sums of twice the accumulator, after what it needs."""
    g, t = values["g"], values["t"]
    assert isinstance(g, ConvGeometry)
    assert isinstance(t, Tiling)
    scale, scales = scaling.functions(prefix, 1)
    name = f"{prefix}_depthwise_rows_{g.in_height}x{g.in_width}x{g.in_channels}_{scaling.kind}"
    text = render("kernels/_dsp_depthwise.j2", {**values, "name": name, "scale": scale})
    return (*scales, *_dsp.helpers(prefix, ("portable_smlad",)), Function(name, text))


def _works_in_place(g: ConvGeometry) -> bool:
    """Whether output and input have one size, and no group of four channels reads a channel of another."""
    same_size = (g.out_height, g.out_width) == (g.in_height, g.in_width)
    return same_size and (g.in_channels % 4 == 0 or g.in_channels < 4)


def _least_distance(g: ConvGeometry, t: Tiling) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    While the strip from output row a to b is computed, outputs up to row b are stored, and rows from the first of
    a's window on are still read.
    """
    begin = np.arange(0, g.out_height, t.strip)
    end = np.minimum(begin + t.strip, g.out_height)
    unread = np.clip(begin * g.stride_height - g.pad_top, 0, g.in_height)
    reach = end * g.out_width * g.out_channels - unread * g.in_width * g.in_channels
    return max(0, int(reach.max()))


def _in_pairs(taps: list[int | None]) -> tuple[tuple[int | None, int | None], ...]:
    padded = [*taps, None] if len(taps) % 2 else taps
    return tuple(zip(padded[0::2], padded[1::2], strict=True))


def _highest_strip(g: ConvGeometry, limit: int) -> int:
    """The output rows of the highest equal strips whose scratch is within `limit` bytes, at least 1."""
    for strips in range(1, g.out_height + 1):
        strip = -(-g.out_height // strips)
        if Tiling.of(g, strip).scratch_bytes <= limit:
            return strip
    return 1


def _cycles(g: ConvGeometry, t: Tiling, fused: bool, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, fitted to within 9 % of counts, and flash waits.

    Filling four planes costs 14 for each word, two 11, and 15 for each row. With fused requantisation a row of
    outputs costs 27 for two (30 at stride 2), and starting a channel 65. Otherwise a pair of outputs costs 19 (22 at
    stride 2) in the unrolled function, or as its loops say, requantising an output 16 with its share of the row's
    call, a word of the table of weights 6, and starting a channel 18.
    """
    groups, strips = -(-g.in_channels // t.planes), -(-g.out_height // t.strip)
    filled_words = t.whole_pairs + g.pad_left % 2 + t.single_last
    planes = groups * strips * t.plane_rows * ((14 if t.planes == 4 else 11) * filled_words + 15)
    rows, starts = t.planes * groups * g.out_height, t.planes * groups * strips
    if fused:
        per_pair = 24 + 3 * g.stride_width
        instructions = rows * (g.out_width * per_pair / 2 + 7) + starts * 65
    else:
        words = t.even_words + (t.odd_words or t.even_words)
        per_pair = 16 + 3 * g.stride_width if _is_unrolled(g) else 6 + g.kernel_height * (3 + 2 * words)
        instructions = rows * (t.pairs_per_row * per_pair + g.out_width * 16) + starts * (
            6 * t.table_words + 18
        )
    constants = g.in_channels * (g.taps + 8)
    return round(
        _cost.cycles(device, {_cost.Kind.PLANES: planes + instructions})
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, constants, loads=starts * (g.taps + 2), passes=strips)
    )


FAMILY = DepthwiseDsp()
