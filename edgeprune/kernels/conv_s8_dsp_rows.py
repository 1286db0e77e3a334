"""Convolution by rows for cores with the DSP extension: each column of the window's rows is expanded once or twice.

A row of outputs is cut into four segments of equal length. Block i is the i-th pixel of each, so that a block's columns
(`_dsp`) for kernel column kx are those of the block before for column kx + stride: four lanes side by side, kernel
column by kernel column. They stay where they are, or move down, and only `stride` new ones are expanded. By blocks of
neighbours every input of a 3 x 3 window would be expanded nine times, by this three times.

Blocks are those of `_dsp_block`, requantised in registers, whose pixels' outputs are a segment apart. Weights are
packed in the order of the columns: kernel column, kernel row, channel. Sums of integers do not depend on that order.

"slid" forms move the columns that stay, which takes the columns of one window; "kept" ones expand a row's columns one
behind the other. Both read all weights for every block. "strip" forms expand the columns of some blocks, and each pair
of channels takes all of these in turn, its weights copied to RAM before: where flash is slow, a weight is waited for
once a strip. Where a sum follows (Add, Sub), the finished row of outputs is one of its operands, in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp, add_s8_dsp
from edgeprune.kernels._dsp_block import (
    LARGEST_OUTPUTS,
    LARGEST_WORDS,
    Block,
    block_instructions,
    block_stream,
    fused_block,
)
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels._row_windows import windows_with_sum
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    KernelFamily,
    LayerNames,
    RowForm,
    Weights,
)
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvRowsDsp"]

_LANES = 4
_CODE_BYTES, _SUM_BYTES = 500, 150
_COPIED_WORDS = 8
"""Weights are copied by so many words at a time."""


@dataclass(frozen=True)
class _Way:
    """How many blocks' columns are expanded at a time, and whether weights are copied for them."""

    blocks: int
    copies: bool

    def name(self, g: ConvGeometry) -> str:
        """Tells the way in a candidate's name."""
        if self.copies:
            return f"strip{self.blocks}"
        return "slid" if self.blocks == 1 or _segment(g) == 1 else "kept"


class ConvRowsDsp(KernelFamily):
    """int8 Conv with one group, and the Add or Sub behind it; rows of a multiple of 4 outputs, channels by 4."""

    name = "conv_s8_dsp_rows"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if not device.dsp or nodes[0].op != "Conv" or not _fits(nodes[0]):
            return ()
        g = conv_geometry(nodes[0])
        windows = windows_with_sum(nodes)
        if windows is None:
            return ()
        return tuple(
            RowForm(_candidate(self.name, nodes, g, device, way), nodes, windows) for way in _ways(g, device)
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        return _dsp.is_exact(node, w, b) and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        w, b = weights[node.inputs[1].name], weights[node.inputs[2].name]
        rows: Array = w.transpose(0, 2, 1, 3).reshape(w.shape[0], -1)
        stream = block_stream(rows, b, node.inputs[0].zero_point, _dsp.Scaling.of(node), wide=False)
        if candidate.parameters["copies"]:
            beyond = _copied_words(conv_geometry(node)) - _block(conv_geometry(node)).pair_words
            stream = np.concatenate([stream, np.zeros(beyond, np.uint32)])
        return (
            Constant("stream", "uint32_t", stream, "initial sums, weights, multipliers per channel pair"),
        )

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        conv, prefix = candidate.nodes[0], names.prefix
        g, scaling = conv_geometry(conv), _dsp.Scaling.of(conv)
        way = _Way(int(candidate.parameters["blocks"]), bool(candidate.parameters["copies"]))
        block, functions = fused_block(prefix, scaling, _block(g, way))
        height, width = _leaves(g)
        step = _segment(g) * g.stride_width * g.in_channels
        expand, expands = _dsp.expand_lanes(prefix, _LANES, step, wide=False)
        stem = (
            f"{prefix}_conv_{way.name(g)}{'_add' if len(candidate.nodes) > 1 else ''}_"
            f"{g.kernel_height}x{g.kernel_width}_rows_of_{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        sums = add_s8_dsp.word_sums(candidate.nodes[1], prefix) if len(candidate.nodes) > 1 else None
        values = {
            "prefix": prefix,
            "g": g,
            "block": block,
            "expand": expand,
            "segment": _segment(g),
            "group": _group_words(g),
            "pair_words": _block(g).pair_words,
            "way": way,
            "columns_words": _columns(g, way) * _group_words(g),
            "copied_words": _copied_words(g),
            "reused": _reused(g),
            "padded_height": height,
            "padded_width": width,
            "sums": sums,
            "first": len(candidate.nodes) > 1 and candidate.nodes[1].inputs[0].name == conv.output.name,
        }
        layer = self.render(stem, values)
        zero = [str(conv.inputs[0].zero_point)] if height or width else []
        output = candidate.nodes[-1].output.name
        arguments = [
            names.tensors[conv.inputs[0].name],
            names.constants["stream"],
            names.tensors[output],
            f"({prefix}_u32_t *)(void *){names.scratch}",
            *zero,
            scaling.arguments,
        ]
        if sums is not None:
            shortcut = sum_shortcut(*candidate.nodes)
            assert shortcut is not None
            arguments += [names.tensors[shortcut.name], sums.arguments]
            functions = (*functions, *sums.functions)
        parts = ["move_down"] if way.copies or (_reused(g) and way.blocks < _segment(g)) else []
        parts += ["fill"] if height or width else []
        helpers = _dsp.helpers(prefix, (*parts, *(["expand"] if width else [])))
        return Code((*functions, *expands, *helpers, layer), f"{stem}({', '.join(arguments)});")


def _fits(node: Node) -> bool:
    g = conv_geometry(node)
    return (
        g.group == 1
        and g.batch == 1
        and g.kernel_height > 1
        and g.in_channels % 4 == 0
        and g.out_width % _LANES == 0
        and g.dilation_width == 1
        and g.out_channels > 1
        and _segment(g) * g.out_channels <= LARGEST_OUTPUTS
        and g.taps // 4 <= LARGEST_WORDS
        and node.ints("clamp") == (-128, 127)
    )


def _segment(g: ConvGeometry) -> int:
    """Outputs of a lane."""
    return g.out_width // _LANES


def _ways(g: ConvGeometry, device: Device) -> tuple[_Way, ...]:
    """A block at a time, a row at a time, and where flash is slow strips, by powers of two up to a row."""
    segment, flash = _segment(g), device.flash
    ways = [_Way(blocks, copies=False) for blocks in ((1, segment) if segment > 1 and _reused(g) else (1,))]
    if flash is None or not flash.holds_constants or not flash.wait_states:
        return tuple(ways)
    strips = {segment, *(1 << power for power in range(1, segment.bit_length()))} - {1}
    return (*ways, *(_Way(blocks, copies=True) for blocks in sorted(strips) if blocks <= segment))


def _block(g: ConvGeometry, way: _Way | None = None) -> Block:
    """A block of `way`; where weights are copied, the function takes those of a strip, one output apart."""
    outputs = _segment(g) * g.out_channels
    if way is None or not way.copies:
        return Block(_LANES, g.taps // 4, outputs, wide=False, grouped=False)
    step = _step(g) * _group_words(g)
    return Block(
        _LANES, g.taps // 4, outputs, wide=False, grouped=True, columns_step=step, outputs_step=g.out_channels
    )


def _step(g: ConvGeometry) -> int:
    """Kernel columns from a block to the next, of those that are expanded."""
    return min(g.stride_width, g.kernel_width)


def _columns(g: ConvGeometry, way: _Way) -> int:
    """Kernel columns of a lane's windows that are expanded at a time."""
    return (way.blocks - 1) * _step(g) + g.kernel_width


def _copied_words(g: ConvGeometry) -> int:
    """Words of a pair of channels as they are copied: with those that fill the last turn of the loop."""
    return -(-_block(g).pair_words // _COPIED_WORDS) * _COPIED_WORDS


def _reused(g: ConvGeometry) -> int:
    """Kernel columns that a block has from the one before."""
    return max(0, g.kernel_width - g.stride_width)


def _leaves(g: ConvGeometry) -> tuple[bool, bool]:
    """Whether windows leave the image above or below, and to a side."""
    last_row = (g.out_height - 1) * g.stride_height - g.pad_top + (g.kernel_height - 1) * g.dilation_height
    last_column = (g.out_width - 1) * g.stride_width - g.pad_left + g.kernel_width - 1
    return g.pad_top > 0 or last_row >= g.in_height, g.pad_left > 0 or last_column >= g.in_width


def _group_words(g: ConvGeometry) -> int:
    """Words of the columns of one kernel column."""
    return 2 * _LANES * g.kernel_height * g.in_channels // 4


def _candidate(family: str, nodes: tuple[Node, ...], g: ConvGeometry, device: Device, way: _Way) -> Candidate:
    stream = 4 * -(-g.out_channels // 2) * _block(g).pair_words
    sums = len(nodes) > 1
    code = _CODE_BYTES + (_SUM_BYTES if sums else 0)
    scratch = _columns(g, way) * _group_words(g) + (_copied_words(g) if way.copies else 0)
    return Candidate(
        family,
        f"{family}{'_add' if sums else ''}_{way.name(g)}",
        nodes,
        flash_bytes=code + stream,
        cycles=g.out_height * _row_cycles(nodes, g, device, stream, way),
        scratch_bytes=4 * scratch,
        parameters={"blocks": way.blocks, "copies": int(way.copies)},
    )


def _row_cycles(nodes: tuple[Node, ...], g: ConvGeometry, device: Device, stream: int, way: _Way) -> int:
    """Of a row, from instructions of the code generated for Cortex-M4, and the flash's waits.

    A word of four inputs of four lanes is expanded for 26, a kernel row of a column for 25 besides; a word of columns
    or weights is moved for what 1.9 of these take, and a pair of channels begun for 45.
    """
    kind = "positive" if nodes[0].output.zero_point <= nodes[0].ints("clamp")[0] else "fast"
    multiply, scale = block_instructions(_block(g, way), kind)
    blocks, pairs = _segment(g), -(-g.out_channels // 2)
    strips = -(-blocks // way.blocks)
    fresh = g.kernel_width + (blocks - 1) * (g.kernel_width - _reused(g))
    moved = (strips - 1) * _reused(g) * _group_words(g)
    if way.copies:
        moved += strips * pairs * _copied_words(g)
    instructions = {
        _cost.Kind.MULTIPLY: blocks * pairs * multiply,
        _cost.Kind.SCALE: blocks * pairs * scale + (45 * strips * pairs if way.copies else 0),
        _cost.Kind.GATHER: fresh * g.kernel_height * (26 * g.in_channels / 4 + 25)
        + 1.9 * moved
        + 40 * blocks,
    }
    if len(nodes) > 1:
        elements = g.out_width * g.out_channels
        instructions[_cost.Kind.STREAM] = add_s8_dsp.instructions_per_element(nodes[1]) * elements + 45
    passes = strips if way.copies else blocks
    return round(
        _cost.cycles(device, instructions)
        + _cost.read_waits(device, stream, loads=passes * stream / 4, passes=passes)
    )


FAMILY = ConvRowsDsp()
