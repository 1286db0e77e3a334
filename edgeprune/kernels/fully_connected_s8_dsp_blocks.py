"""Sparse fully connected layers for the DSP extension: blocks of weights, eight outputs times four inputs.

The dense kernel `fully_connected_s8_dsp_pairs` works through quads of inputs for eight output channels. Here each quad
comes with the distance from the one before, and those without a weight for any of the eight are absent: four bytes and
four instructions more for each that is left. Encoding, range and scaling are that kernel's; eight channels keep at
least one quad.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._fully_connected import is_fully_connected, matrix_shape, row_count
from edgeprune.kernels._sparsity import kept_words, weight_rows
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.kernels.fully_connected_s8_dsp_pairs import CHANNELS, pairs_stream

__all__ = ["FAMILY", "FullyConnectedBlocksDsp"]

_CODE_BYTES = 900
"""Of the function that layers share, and of a layer's own, about."""
_QUAD_BYTES = 8
"""A quad of widened inputs."""
_WORD_ALIGN = 8
"""Of the stream, so that no 64-bit word of flash is read twice."""


class FullyConnectedBlocksDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, whose weights lack blocks of 8 x 4."""

    name = "fully_connected_s8_dsp_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        rows = weight_rows(nodes[0])
        if rows is None or len(rows) < CHANNELS or row_count(nodes[0]) > 1:
            return ()
        records = np.maximum(kept_words(rows, CHANNELS).sum(axis=1), 1)
        quads = -(-rows.shape[1] // 4)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _stream_bytes(records),
                cycles=_cycles(records, quads, device),
                scratch_bytes=_QUAD_BYTES * quads,
                overlap=(None,),
                density=min(1.0, int(records.sum()) * 4 * CHANNELS / rows.size),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        exact = _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])
        return exact and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(matrix_shape(node))
        b, scaling = weights[node.inputs[2].name], _dsp.Scaling.of(node)
        parts = []
        for index, kept in enumerate(kept_words(rows, CHANNELS)):
            first = min(index * CHANNELS, len(rows) - CHANNELS)
            eight = slice(first, first + CHANNELS)
            own = replace(scaling, multipliers=scaling.multipliers[eight], shifts=scaling.shifts[eight])
            stream = pairs_stream(rows[eight], b[eight], node.inputs[0].zero_point, own)
            quads = stream[CHANNELS:-CHANNELS].reshape(-1, CHANNELS)
            parts += [stream[:CHANNELS], _records(quads, np.flatnonzero(kept)), stream[-CHANNELS:]]
        comment = "initial sums, records of weights, multipliers of eight channels"
        return (Constant("stream", "uint32_t", np.concatenate(parts), comment, align=_WORD_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        outputs, inputs = matrix_shape(node)
        prefix, scaling = names.prefix, _dsp.Scaling.of(node)
        group, functions = self._group(prefix, scaling)
        stem = f"{prefix}_fully_connected_{inputs}_{outputs}_blocks"
        values = {
            "part": "layer",
            "prefix": prefix,
            "scaling": scaling,
            "inputs": inputs,
            "outputs": outputs,
            "group": group,
        }
        layer = self.render(stem, values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        wide = f"({prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {names.constants['stream']}, {y}, {wide}, {scaling.zero});"
        return Code((*functions, *_dsp.helpers(prefix, ("portable_sxtb16", "widen")), layer), body)

    def _group(self, prefix: str, scaling: _dsp.Scaling) -> tuple[str, tuple[Function, ...]]:
        """The name of the function that computes all channels, and the functions it needs, itself last."""
        scale, functions = scaling.functions(prefix)
        name = f"{prefix}_fully_connected8_blocks_{scaling.suffix}"
        helpers = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16"))
        values = {"part": "group", "prefix": prefix, "scaling": scaling, "scale": scale}
        return name, (*functions, *helpers, self.render(name, values))


def _records(quads: Array, kept: Array) -> Array:
    """Each kept quad of `quads` [quads, 8], at least one, after how far it lies from the one before: uint32."""
    kept = kept if len(kept) else np.zeros(1, np.int64)
    steps = 2 * _QUAD_BYTES * (np.diff(kept, prepend=-1) - 1)
    steps[-1] += 1
    records: Array = np.column_stack([steps.astype(np.uint32), quads[kept]]).ravel()
    return records


def _stream_bytes(records: Array) -> int:
    """Of groups of eight channels with so many records each: sums, records, multipliers."""
    return int((4 * (2 * CHANNELS + (CHANNELS + 1) * records)).sum())


def _cycles(records: Array, quads: int, device: Device) -> int:
    """From instructions counted in the generated code for Cortex-M4, and the flash's waits for the stream and code.

    A record costs 36.5 and a group 88. Such code is half in registers, half loads that follow one another.
    """
    instructions = 36.5 * int(records.sum()) + 88 * len(records) + 40
    kinds = {
        _cost.Kind.SCALE: instructions / 2,
        _cost.Kind.STREAM: instructions / 2,
        _cost.Kind.GATHER: 7 * quads,
    }
    size = _stream_bytes(records)
    return round(
        _cost.cycles(device, kinds)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, size, loads=size / 4)
    )


FAMILY = FullyConnectedBlocksDsp()
