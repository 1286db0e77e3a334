"""Sparse convolution for the DSP extension: single weights, row by row, with short distances between them.

Where most weights are gone without a pattern, each that is left is multiplied with 8 pixels at once. Planes hold an
input of 8 pixels as halfwords, two to a word; a weight takes two loads of two words, one SMLABB or SMLATB for each
pixel, and its own place and value two bytes and about five instructions.

A record, of two weights w and v and the planes d and e to go on before them, is v << 24 | e << 16 | w << 8 | d << 1,
plus 1 where it is an output's last. With d < 64 and e < 128 the bits below the weights are 0, so that nine bits from
there are 2*w and 2*v, sign and all; a longer way takes records with weights of zero, and so does a row's odd end.
Sums are twice the accumulator, below 2**24 where |accumulator| < 2**23 over the whole input range; nothing depends on
a weight of -128, for 2*w is a halfword.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_conv import output_pixels, window_words
from edgeprune.kernels._dsp_sparse import (
    CODE_BYTES,
    Frame,
    emit_frame,
    frame_geometry,
    overlap,
    scratch_bytes,
    sparse_geometry,
    window_cycles,
)
from edgeprune.kernels._sparsity import weight_rows
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvRowsDsp"]

_CODE_BYTES = CODE_BYTES + 700
"""Of the layer's own function and those that layers share."""
_LARGEST_OUTPUTS = 585
"""The eighth pixel's outputs are within the 4,095 bytes that a store's offset reaches."""
_LONGEST = (63, 127)
"""Planes to go on before the first and the second weight of a record, at most."""
_RECORD_INSTRUCTIONS = 27.5
"""Of two weights, counted as those of dense kernels are, which load more: there are 29, with the branch."""


class ConvRowsDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, most of whose weights are zero."""

    name = "conv_s8_dsp_singles"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        g = sparse_geometry(nodes[0], device) if len(nodes) == 1 else None
        rows = weight_rows(nodes[0]) if g is not None else None
        if g is None or rows is None or g.out_channels > _LARGEST_OUTPUTS:
            return ()
        records = sum(len(_records(row)) for row in rows)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _stream_bytes(g, records),
                cycles=_cycles(g, records, nodes[0], device),
                scratch_bytes=scratch_bytes(g, _frame(g)),
                overlap=(overlap(g, _frame(g)),),
                density=min(1.0, 2 * records / rows.size),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        within = _dsp.is_within_range(node, weights[node.inputs[1].name], weights[node.inputs[2].name])
        return within and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        b, scaling = weights[node.inputs[2].name], _dsp.Scaling.of(node)
        start = b.astype(np.int64) - node.inputs[0].zero_point * rows.astype(np.int64).sum(axis=1)
        sums = (2 * start).astype(np.uint32)
        ends = np.column_stack([scaling.multipliers, -scaling.shifts - 1]).astype(np.uint32)
        parts = [
            part
            for row, sum_, end in zip(rows, sums, ends, strict=True)
            for part in ([sum_], _records(row), end)
        ]
        comment = "initial sum, records of two weights, multiplier, shift per channel"
        return (Constant("stream", "uint32_t", np.concatenate(parts).astype(np.uint32), comment),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, prefix, scaling = frame_geometry(node), names.prefix, _dsp.Scaling.of(node)
        scale, functions = scaling.functions(prefix, 1)
        values = {"prefix": prefix, "outputs": g.out_channels, "scaling": scaling, "scale": scale}
        compute = self.render(f"{prefix}_rows_{g.out_channels}_{scaling.kind}", values)
        return emit_frame(node, g, names, _frame(g), (*functions, compute))


def _records(row: Array) -> Array:
    """The words for the weights of one output, at least one: uint32."""
    steps: list[int] = []
    values: list[int] = []
    at = 0
    for place in np.flatnonzero(row).tolist():
        while place - at > _LONGEST[len(steps) % 2]:
            at += _LONGEST[len(steps) % 2]
            steps.append(_LONGEST[len(steps) % 2])
            values.append(0)
        steps.append(place - at)
        values.append(int(row[place]))
        at = place
    missing = 2 if not steps else len(steps) % 2
    steps, values = steps + [0] * missing, values + [0] * missing
    d, e = np.array(steps, np.uint32).reshape(-1, 2).T
    w, v = (np.array(values, np.int64) & 0xFF).astype(np.uint32).reshape(-1, 2).T
    records: Array = v << 24 | e << 16 | w << 8 | d << 1
    records[-1] |= np.uint32(1)
    return records


def _frame(g: ConvGeometry) -> Frame:
    return Frame("halfwords", 16 * window_words(g))


def _stream_bytes(g: ConvGeometry, records: int) -> int:
    return 12 * g.out_channels + 4 * records


def _cycles(g: ConvGeometry, records: int, node: Node, device: Device) -> int:
    """From instructions of the code generated for Cortex-M4, and the flash's waits for the stream and code."""
    frame = _frame(g)
    times = -(-output_pixels(g) // frame.pixels)
    each = 4 if node.output.zero_point <= node.ints("clamp")[0] else 6
    instructions = {
        _cost.Kind.MULTIPLY: times * _RECORD_INSTRUCTIONS * records,
        _cost.Kind.SCALE: times * (g.out_channels * (each * frame.pixels + 17) + 20),
    }
    size = _stream_bytes(g, records)
    return round(
        window_cycles(g, frame, device)
        + _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES - CODE_BYTES)
        + _cost.read_waits(device, size, loads=times * size / 4, passes=times)
    )


FAMILY = ConvRowsDsp()
