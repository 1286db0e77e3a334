"""Convolution by a few rows in a turn for cores with the DSP extension: blocks of pixels that go on from row to row.

Rows of few pixels make poor blocks: of five pixels, one of three and one of two, each of which reads all weights. The
pixels of several rows together make blocks of 4 and 3 (`_dsp_conv.run_sizes`) and, where flash is slow and its data
cache holds the weights of a pair of channels, up to four blocks at a time, for which a weight leaves flash once.

Every window is copied to a buffer of bytes, four of which are expanded side by side (`_dsp`); blocks are requantised in
registers (`_dsp_block`).

In place. Outputs of a block are stored when its windows were copied, and lie below the inputs of the blocks that follow
where a pointwise convolution makes no more channels than it takes (`RowWindow.keeps_place`).
"""

from __future__ import annotations

from dataclasses import replace

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_block import Block, block_instructions, block_stream, fused_block
from edgeprune.kernels._dsp_conv import (
    BLOCK,
    Form,
    is_tiled,
    leaves_height,
    leaves_width,
    run_sizes,
    stays_cached,
    window_words,
)
from edgeprune.kernels._row_windows import window_rows
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    RowForm,
    Weights,
)
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvTurnsDsp"]

_ROWS = (4, 3, 2)
"""Of a turn, at most."""
_GROUPS = 4
"""Blocks at a time where weights come from slow flash."""
_WIDE_WORDS = 12
"""Windows up to this may have wide weights."""
_CODE_BYTES = 350


class ConvTurnsDsp(KernelFamily):
    """int8 Conv with one group, at least two output channels, and no dilation of rows."""

    name = "conv_s8_dsp_turns"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "Conv" or not _fits(nodes[0]):
            return ()
        g = conv_geometry(nodes[0])
        return tuple(
            self._form(nodes, g, rows, form, device)
            for rows in _ROWS
            if rows < g.out_height
            for form in _forms(g, rows, device)
        )

    def _form(
        self, nodes: tuple[Node, ...], g: ConvGeometry, rows: int, form: Form, device: Device
    ) -> RowForm:
        stream = 4 * -(-g.out_channels // 2) * _block(g, form, BLOCK).pair_words
        candidate = Candidate(
            self.name,
            f"{self.name}{form.suffix}_by{rows}",
            nodes,
            flash_bytes=_CODE_BYTES + stream,
            cycles=round(g.out_height / rows * _turn_cycles(nodes[0], g, rows, form, device, stream)),
            scratch_bytes=-(-16 * window_words(g) * (2 * form.groups + 1) // 8) * 8,
            parameters={"rows": rows, "groups": form.groups, "wide": int(form.wide)},
        )
        own = g.taps == g.in_channels and not g.is_padded and (g.stride_height, g.stride_width) == (1, 1)
        window = replace(window_rows(g), keeps_place=own and g.out_channels <= g.in_channels)
        return RowForm(candidate, nodes, {nodes[0].inputs[0].name: window}, rows=rows)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        exact = _dsp.is_within_range if candidate.parameters["wide"] else _dsp.is_exact
        return exact(node, w, b) and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node, wide = candidate.nodes[0], bool(candidate.parameters["wide"])
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        rows = w.reshape(w.shape[0], -1)
        stream = block_stream(rows, b, node.inputs[0].zero_point, _dsp.Scaling.of(node), wide=wide)
        return (
            Constant("stream", "uint32_t", stream, "initial sums, weights, multipliers per channel pair"),
        )

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix, parameters = candidate.nodes[0], names.prefix, candidate.parameters
        g, scaling = conv_geometry(node), _dsp.Scaling.of(node)
        rows, form = int(parameters["rows"]), Form(int(parameters["groups"]), bool(parameters["wide"]))
        words = window_words(g)
        blocks: dict[int, str] = {}
        functions: list[Function] = []
        for size in _sizes(g, rows):
            blocks[size], needed = fused_block(prefix, scaling, _block(g, form, size))
            functions += needed
        expand, expands = _dsp.expand_lanes(prefix, BLOCK, 4 * words, wide=form.wide)
        stem = (
            f"{prefix}_conv_{g.kernel_height}x{g.kernel_width}_{rows}_rows_of_"
            f"{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        values = {
            "prefix": prefix,
            "g": g,
            "rows": rows,
            "words": words,
            "blocks": blocks,
            "groups": form.groups,
            "pair_words": _block(g, form, BLOCK).pair_words,
            "expand": expand,
            "padded_height": leaves_height(g),
            "padded_width": leaves_width(g),
        }
        layer = self.render(stem, values)
        padded = leaves_height(g) or leaves_width(g)
        arguments = [
            names.tensors[node.inputs[0].name],
            names.constants["stream"],
            names.tensors[node.output.name],
            f"({prefix}_u32_t *)(void *){names.scratch}",
            names.rows,
            *([str(node.inputs[0].zero_point)] if padded else []),
            scaling.arguments,
        ]
        return Code((*functions, *expands, layer), f"{stem}({', '.join(arguments)});")


def _fits(node: Node) -> bool:
    g = conv_geometry(node)
    return (
        g.group == 1
        and g.batch == 1
        and g.dilation_height == 1
        and is_tiled(g)
        and node.ints("clamp") == (-128, 127)
    )


def _forms(g: ConvGeometry, rows: int, device: Device) -> tuple[Form, ...]:
    """Wide ones for short windows, groups where they spare slow flash."""
    forms = [Form(), *([Form(wide=True)] if window_words(g) <= _WIDE_WORDS else [])]
    together = min(_GROUPS, max(count for _, count in run_sizes(rows * g.out_width)))
    cached = [form for form in forms if together > 1 and stays_cached(g, form, device)]
    return (*forms, *(Form(together, form.wide) for form in cached))


def _block(g: ConvGeometry, form: Form, pixels: int) -> Block:
    return Block(pixels, window_words(g), g.out_channels, form.wide, form.groups > 1)


def _sizes(g: ConvGeometry, rows: int) -> tuple[int, ...]:
    """Sizes of blocks that turns of 1 to `rows` rows are made of."""
    runs = (run_sizes(count * g.out_width) for count in range(1, rows + 1))
    return tuple(sorted({size for one in runs for size, _ in one}))


def _turn_cycles(node: Node, g: ConvGeometry, rows: int, form: Form, device: Device, stream: int) -> float:
    """Of a turn, from instructions of the code generated for Cortex-M4, and the flash's waits.

    A word of inputs is copied for 2 and expanded for 6.5 (4.5 where it is only widened), a kernel row of a pixel copied
    for 25 besides, and a block begun for 40.
    """
    kind = "positive" if node.output.zero_point <= node.ints("clamp")[0] else "fast"
    pairs, pixels, words = -(-g.out_channels // 2), rows * g.out_width, window_words(g)
    multiply = scale = blocks = passes = 0.0
    for size, count in run_sizes(pixels):
        sums, rest = block_instructions(_block(g, form, size), kind)
        multiply, scale = multiply + count * pairs * sums, scale + count * pairs * rest
        blocks, passes = blocks + count, passes + -(-count // form.groups)
    lanes = BLOCK * blocks * (4.5 if form.wide else 6.5) * words
    instructions = {
        _cost.Kind.MULTIPLY: multiply,
        _cost.Kind.SCALE: scale,
        _cost.Kind.GATHER: lanes + pixels * (2 * words + 25 * g.kernel_height) + 40 * blocks,
    }
    return _cost.cycles(device, instructions) + _cost.read_waits(
        device, stream, loads=blocks * stream / 4, passes=passes
    )


FAMILY = ConvTurnsDsp()
