"""3 x 3 convolution with stride 1 for cores with the DSP extension: Winograd's F(2x2, 3x3), weights transformed in RAM.

The arithmetic, its proof and its ranges are those of `conv_s8_dsp_winograd`. There, weights lie in flash as they
are multiplied, in 3.6 times their bytes, and every block of tiles reads them from there. Here flash holds the
int8 weights. A strip of tiles is transformed first; then, pair by pair of output channels, the weights of the pair
are transformed into RAM and multiplied with all tiles of the strip. So a weight leaves flash once per strip, for
about five instructions, and costs a byte. The nine weights of four input channels lie together: they are transformed
together, and fill few lines of the flash's data cache.

The order costs scratch, 32 bytes for every tile and input channel of a strip. Candidates differ in the strip's
height.

In place. Rows are widened to scratch before the tiles that read them; a strip's outputs are stored when all rows
that its tiles read were widened, so that they may overwrite those rows: `_least_distance`.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._winograd import Tiles, fits
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.conv_s8_dsp import Combine
from edgeprune.kernels.conv_s8_dsp_winograd import Parts, channel_heads
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "WinogradStagedDsp"]

_CODE_BYTES = 1500
_MOST_TRANSFORMED_BYTES = 1 << 14
"""Of a strip's transformed inputs, unless a single row of tiles has more."""
_SUM_WORDS = 128
"""Sums of four tiles with two output channels at 16 positions."""


class WinogradStagedDsp(KernelFamily):
    """int8 Conv, 3 x 3, stride 1, one group; input channels a multiple of 4."""

    name = "conv_s8_dsp_winograd_staged"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or not fits(conv_geometry(nodes[0])):
            return ()
        g = conv_geometry(nodes[0])
        tiles = Tiles.of(g, 1)
        return tuple(self._candidate(nodes, g, tiles, strip, device) for strip in _strips(tiles))

    def _candidate(
        self, nodes: tuple[Node, ...], g: ConvGeometry, t: Tiles, strip: int, device: Device
    ) -> Candidate:
        return Candidate(
            self.name,
            f"{self.name}_strip{strip}",
            nodes,
            flash_bytes=_CODE_BYTES + g.out_channels * (g.taps + 12),
            cycles=_cycles(g, t, strip, device),
            scratch_bytes=_scratch_bytes(t, strip),
            overlap=(_least_distance(g, t, strip),),
            parameters={"strip": strip},
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        return _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        values = weights[w.name]
        heads = channel_heads(values, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        out, _, _, channels = values.shape
        by_fours = np.ascontiguousarray(values.reshape(out, 9, channels // 4, 4).swapaxes(1, 2))
        return (
            Constant(
                "weights", "int8_t", by_fours, "output channel by output channel, four inputs at a time"
            ),
            Constant(
                "channels",
                "uint32_t",
                (heads & 0xFFFFFFFF).astype(np.uint32),
                "initial sum, multiplier and shift of each output channel",
            ),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return self.emit_strips(candidate, names)

    def emit_strips(self, candidate: Candidate, names: LayerNames, combine: Combine | None = None) -> Code:
        """The C of the candidate's first node; with `combine` a strip's outputs go to its rows, and their sum on."""
        node = candidate.nodes[0]
        g, scaling, prefix = conv_geometry(node), _dsp.Scaling.of(node), names.prefix
        tiles, strip = Tiles.of(g, 1), int(candidate.parameters["strip"])
        parts = Parts.of(g, tiles, scaling, prefix, bursts=True)
        values = {**parts.values, "strip": strip, "combine": combine}
        transform = self.render(f"{prefix}_winograd_weights_{g.in_channels}", {**values, "part": "weights"})
        shape = f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
        layer = self.render(
            f"{prefix}_winograd_staged{'_add' if combine else ''}_{shape}",
            {**values, "part": "layer", "weights": transform.name},
        )
        arguments = [
            names.tensors[node.inputs[0].name],
            names.constants["weights"],
            names.constants["channels"],
            names.tensors[candidate.nodes[-1].output.name],
            f"({prefix}_u32_t *)(void *){names.scratch}",
            str(node.inputs[0].zero_point),
            scaling.arguments,
            *((combine.shortcut, combine.rows, combine.arguments) if combine else ()),
        ]
        sums = combine.functions if combine else ()
        helpers = _dsp.helpers(prefix, ("sxtb16", "sxtb16_1"))
        functions = (*parts.functions, *sums, *helpers, transform, layer)
        return Code(functions, f"{layer.name}({', '.join(arguments)});")


def _strips(t: Tiles) -> tuple[int, ...]:
    """Heights of strips, in rows of tiles: doubled until all rows are one strip or scratch is at its most."""
    heights = [1]
    while heights[-1] < t.rows:
        higher = min(2 * heights[-1], t.rows)
        if 4 * _transformed_words(t, higher) > _MOST_TRANSFORMED_BYTES:
            break
        heights.append(higher)
    return tuple(heights)


def _transformed_words(t: Tiles, strip: int) -> int:
    """V of a strip, in whole groups of four tiles."""
    return -(-strip * t.columns // 4) * 64 * t.steps


def _scratch_bytes(t: Tiles, strip: int) -> int:
    """Four rows, the transformed weights of a pair, sums, and V; a multiple of 8."""
    return 4 * (4 * t.row_words + 32 * t.steps + _SUM_WORDS + _transformed_words(t, strip))


def _least_distance(g: ConvGeometry, t: Tiles, strip: int) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    When a strip that ends with tile row r is stored, output rows up to 2 r + 1 are, and padded rows up to 2 r + 3
    were widened.
    """
    row = np.minimum(np.arange(strip, t.rows + strip, strip), t.rows) - 1
    unread = np.clip(2 * row + 4 - g.pad_top, 0, g.in_height)
    stored = np.minimum(2 * row + 2, g.out_height) * g.out_width * g.out_channels
    reach = (stored - unread * g.in_width * g.in_channels)[unread < g.in_height]
    return max(0, int(reach.max(initial=0)))


def _cycles(g: ConvGeometry, t: Tiles, strip: int, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for weights and code.

    A step of four tiles and two channels takes 13.5; such code is half in registers, half loads that follow one
    another.
    """
    pairs, strips = -(-g.out_channels // 2), -(-t.rows // strip)
    whole, rest = divmod(t.rows, strip)
    groups = whole * -(-strip * t.columns // 4) + -(-rest * t.columns // 4)
    sums = groups * pairs * 16 * 13.5 * t.steps
    rows = 2 * t.rows * (8 * t.row_words / 2 + 30)
    instructions = {
        _cost.Kind.SCALE: sums / 2,
        _cost.Kind.STREAM: sums / 2,
        _cost.Kind.MULTIPLY: groups * pairs * (16 * 10 + 8 * 72 + 60),
        _cost.Kind.GATHER: rows
        + t.rows * t.columns * (70 * t.steps + 25)
        + strips * pairs * 2 * (72 * t.steps + 20),
    }
    weights = g.out_channels * (g.taps + 12)
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, weights, loads=strips * weights / 4 * 2, passes=strips)
    )


FAMILY = WinogradStagedDsp()
