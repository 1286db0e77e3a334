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
from edgeprune.kernels._dsp_conv import Cost, window_words
from edgeprune.kernels._dsp_sparse import Frame, emit_frame, frame_cost, frame_geometry, sparse_convolution
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvSinglesDsp"]

_CODE_BYTES = 700
"""Of what computes a block of pixels."""
_LARGEST_OUTPUTS = 585
"""The eighth pixel's outputs are within the 4,095 bytes that a store's offset reaches."""
_LONGEST = (63, 127)
"""Planes to go on before the first and the second weight of a record, at most."""
_RECORD_INSTRUCTIONS = 27.5
"""Of two weights, counted as those of dense kernels are, which load more: there are 29, with the branch."""


class ConvSinglesDsp(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, most of whose weights are zero."""

    name = "conv_s8_dsp_singles"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = sparse_convolution(nodes, device, _LARGEST_OUTPUTS)
        if found is None:
            return ()
        g, rows = found
        records = sum(len(_records(row)) for row in rows)
        density = min(1.0, 2 * records / rows.size)
        return (
            Candidate(self.name, self.name, nodes, **_costs(g, records, nodes[0], device), density=density),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_within_range_and_short(candidate.nodes[0], weights)

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


def _costs(g: ConvGeometry, records: int, node: Node, device: Device) -> Cost:
    frame = _frame(g)
    times = frame.blocks(g)
    each = 4 if node.output.zero_point <= node.ints("clamp")[0] else 6
    instructions = {
        _cost.Kind.MULTIPLY: times * _RECORD_INSTRUCTIONS * records,
        _cost.Kind.SCALE: times * (g.out_channels * (each * frame.pixels + 17) + 20),
    }
    stream_bytes = 12 * g.out_channels + 4 * records
    return frame_cost(g, frame, device, _CODE_BYTES, stream_bytes, instructions)


FAMILY = ConvSinglesDsp()
