"""3 x 3 convolution by rows for cores with the DSP extension: Winograd's F(2x2, 3x3), two or four rows of outputs.

The arithmetic, its proof and its ranges are those of `conv_s8_dsp_winograd`; weights are int8 in flash and transformed
in RAM, pair by pair of output channels, as in `conv_s8_dsp_winograd_staged`. A tile of 2 x 2 outputs takes four rows of
inputs, wherever they lie: its inputs are widened as they are transformed, and only tiles at the edge of the image are
copied first, the zero point where padding is: to where the weights of a pair will lie, a quarter of their bytes.

The weights are transformed for every block of tiles: blocks of a whole turn's tiles do so least often, smaller ones
take less scratch, 32 bytes for every tile and input channel. A turn of one row computes tiles of which it stores half.
Where a sum follows (Add, Sub), the finished rows of outputs are one of its operands, in place.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp, add_s8_dsp, conv_s8_dsp_winograd_staged
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._row_windows import windows_with_sum
from edgeprune.kernels._winograd import Tiles, fits
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    KernelFamily,
    LayerNames,
    RowForm,
    Weights,
)
from edgeprune.kernels.conv_s8_dsp_winograd import Parts
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "WinogradRowsDsp"]

_ROWS = (4, 2)
"""Of a turn."""
_LANES = 4
"""Tiles multiplied together."""
_SUM_WORDS = 128
"""Sums of four tiles with two output channels at 16 positions."""
_CODE_BYTES, _SUM_BYTES = 1400, 150


class WinogradRowsDsp(KernelFamily):
    """int8 Conv, 3 x 3, stride 1, one group, input channels a multiple of 4; and the Add or Sub behind it."""

    name = "conv_s8_dsp_winograd_rows"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if not device.dsp or nodes[0].op != "Conv" or not fits(conv_geometry(nodes[0])):
            return ()
        g = conv_geometry(nodes[0])
        windows = windows_with_sum(nodes)
        if windows is None:
            return ()
        return tuple(
            RowForm(
                _candidate(self.name, nodes, g, rows, block, device), nodes, windows, rows=rows, together=2
            )
            for rows in _ROWS
            if rows <= g.out_height
            for block in _blocks(g, rows)
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return conv_s8_dsp_winograd_staged.FAMILY.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        return conv_s8_dsp_winograd_staged.FAMILY.pack(candidate, weights)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        conv, prefix = candidate.nodes[0], names.prefix
        g, scaling = conv_geometry(conv), _dsp.Scaling.of(conv)
        tiles, block = Tiles.of(g, 1), int(candidate.parameters["block"])
        parts = Parts.of(g, tiles, scaling, prefix, bursts=True, by_rows=True)
        sums = add_s8_dsp.word_sums(candidate.nodes[1], prefix) if len(candidate.nodes) > 1 else None
        stem = f"{prefix}_winograd_rows{'_add' if sums else ''}_of_{g.in_width}x{g.in_channels}"
        values = {
            **parts.values,
            "most": int(candidate.parameters["rows"]),
            "block": block,
            "block_words": _block_words(tiles, block),
            "sums": sums,
            "first": sums is not None and candidate.nodes[1].inputs[0].name == conv.output.name,
        }
        weights = conv_s8_dsp_winograd_staged.FAMILY.render(
            f"{prefix}_winograd_weights_{g.in_channels}", {**values, "part": "weights"}
        )
        transform = self.render(f"{prefix}_winograd_input_bytes_{g.in_channels}", {**values, "part": "input"})
        layer = self.render(
            f"{stem}_{g.out_channels}",
            {**values, "part": "layer", "weights": weights.name, "transform": transform.name},
        )
        arguments = [
            names.tensors[conv.inputs[0].name],
            *names.constants.values(),
            names.tensors[candidate.nodes[-1].output.name],
            f"({prefix}_u32_t *)(void *){names.scratch}",
            names.rows,
            str(conv.inputs[0].zero_point),
            scaling.arguments,
        ]
        functions = parts.functions
        if sums is not None:
            shortcut = sum_shortcut(*candidate.nodes)
            assert shortcut is not None
            arguments += [names.tensors[shortcut.name], sums.arguments]
            functions = (*functions, *sums.functions)
        helpers = _dsp.helpers(prefix, ("sxtb16", "sxtb16_1"))
        return Code(
            (*functions, *helpers, weights, transform, layer), f"{layer.name}({', '.join(arguments)});"
        )


def _blocks(g: ConvGeometry, rows: int) -> tuple[int, ...]:
    """Tiles of a block: those of a turn, a half of them, a quarter, in whole groups of four."""
    tiles = rows // 2 * -(-g.out_width // 2)
    parts = (-(-tiles // (_LANES * share)) * _LANES for share in (1, 2, 4))
    return tuple(dict.fromkeys(parts))


def _block_words(t: Tiles, block: int) -> int:
    """V of a block."""
    return block // _LANES * 64 * t.steps


def _candidate(
    family: str, nodes: tuple[Node, ...], g: ConvGeometry, rows: int, block: int, device: Device
) -> Candidate:
    t, sums = Tiles.of(g, 1), len(nodes) > 1
    return Candidate(
        family,
        f"{family}{'_add' if sums else ''}_by{rows}_block{block}",
        nodes,
        flash_bytes=_CODE_BYTES + (_SUM_BYTES if sums else 0) + g.out_channels * (g.taps + 12),
        cycles=round(g.out_height / rows * _turn_cycles(nodes, g, t, rows, block, device)),
        scratch_bytes=4 * (32 * t.steps + _SUM_WORDS + _block_words(t, block)),
        parameters={"rows": rows, "block": block},
    )


def _turn_cycles(
    nodes: tuple[Node, ...], g: ConvGeometry, t: Tiles, rows: int, block: int, device: Device
) -> float:
    """Of a turn, from instructions of the code generated for Cortex-M4, and the flash's waits.

    As for `conv_s8_dsp_winograd_staged`; a tile's pair of input channels is widened and transformed for 88. Where the
    code does not fit its cache, the functions of a pair of output channels push one another out for every block.
    """
    pairs, tiles = -(-g.out_channels // 2), rows // 2 * t.columns
    blocks = -(-tiles // block)
    whole, rest = divmod(tiles, block)
    groups = whole * (block // _LANES) + -(-rest // _LANES)
    sums = groups * pairs * 16 * 13.5 * t.steps
    instructions = {
        _cost.Kind.SCALE: sums / 2,
        _cost.Kind.MULTIPLY: groups * pairs * (16 * 10 + 8 * 74 + 60),
        _cost.Kind.GATHER: tiles * (88 * t.steps + 90) + blocks * pairs * 2 * (72 * t.steps + 20),
        _cost.Kind.STREAM: sums / 2,
    }
    if len(nodes) > 1:
        elements = rows * g.out_width * g.out_channels
        instructions[_cost.Kind.STREAM] += (
            add_s8_dsp.instructions_per_element(nodes[1]) * elements + 45 * rows
        )
    weights = g.out_channels * (g.taps + 12)
    fits_cache = device.flash is None or device.flash.instruction_bytes >= _CODE_BYTES
    return (
        _cost.cycles(device, instructions)
        + _cost.read_waits(device, weights, loads=blocks * weights / 4 * 2, passes=blocks)
        + (0 if fits_cache else blocks * pairs * _cost.code_waits(device, _CODE_BYTES))
    )


FAMILY = WinogradRowsDsp()
