"""Fully connected layers for cores with the DSP extension: one input row, eight output channels at a time.

Each weight is used once, so what it costs to fetch and unpack it decides. Two channels share a halfword of weights,
256*w + v, whose product with a widened input x adds to 256*W + V, and the sign-extended low bytes' to V:

    T = sum (256*w + v) * x = 256*W + V        S = sum v * x = V        256*W = T - S

A word of weights, for two inputs and two channels, costs one load, one SXTB16 and two SMLAD; an input is widened
once and loaded once for eight channels. Loads follow one another in bursts as long as registers allow, because all
loads of a burst but the first take one cycle. Loads of two registers each would be a tenth fewer instructions (0.96
for a weight of 640 x 128 instead of 1.06) and 3 % more cycles on a Cortex-M4 (1.95 instead of 1.89).

It is exact where |w| <= 127 and both accumulators are below 2**23 over the whole input range (`_dsp.is_exact`):
then 256*w + v is within int16, 256*W within int32, and sums on the way may wrap, because additions modulo 2**32
commute. V is carried with 2**23 added, which leaves it within [1, 2**24), so that bits 24 up hold a number of their
own: the right shift less one, of which the low byte of 256*W holds the other channel's.

Requantisation is that of `_dsp`, for right shifts without clamps; the last of the n places is shifted by SSAT.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._fully_connected import is_fully_connected, matrix_shape, row_count
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights

__all__ = ["CHANNELS", "FAMILY", "FullyConnectedPairsDsp", "group_bytes", "pairs_stream"]

CHANNELS = 8
"""Of a group."""
_UNROLLED = 4
"""Quads of a turn of the loop."""
_CODE_BYTES = 1000
"""Of the function that layers share, and of a layer's own, about."""
_WORD_ALIGN = 8
"""Of the stream, so that no 64-bit word of flash is read twice."""


class FullyConnectedPairsDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, with eight outputs or more."""

    name = "fully_connected_s8_dsp_pairs"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        outputs, inputs = matrix_shape(nodes[0])
        if outputs < CHANNELS or row_count(nodes[0]) > 1:
            return ()
        quads, groups = -(-inputs // 4), -(-outputs // CHANNELS)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + groups * group_bytes(quads),
                cycles=_cycles(groups, quads, device),
                scratch_bytes=8 * quads,
                overlap=(None,),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        node = candidate.nodes[0]
        exact = _dsp.is_exact(node, weights[node.inputs[1].name], weights[node.inputs[2].name])
        return exact and _dsp.Scaling.of(node).is_short

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        matrix = weights[w.name].reshape(matrix_shape(node))
        stream = pairs_stream(matrix, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        comment = "initial sums, weights, multipliers of eight channels"
        return (Constant("stream", "uint32_t", stream, comment, align=_WORD_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        outputs, inputs = matrix_shape(node)
        scaling = _dsp.Scaling.of(node)
        group, functions = self.group(names.prefix, scaling)
        stem = f"{names.prefix}_fully_connected_{inputs}_{outputs}_pairs"
        values = {
            "part": "layer",
            "prefix": names.prefix,
            "scaling": scaling,
            "inputs": inputs,
            "outputs": outputs,
            "group": group,
        }
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        wide = f"({names.prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {names.constants['stream']}, {y}, {wide}, {scaling.zero});"
        return Code(
            (
                *functions,
                *_dsp.helpers(names.prefix, ("portable_sxtb16", "widen")),
                self.render(stem, values),
            ),
            body,
        )

    def group(
        self, prefix: str, scaling: _dsp.Scaling, unrolled: int = _UNROLLED
    ) -> tuple[str, tuple[Function, ...]]:
        """The name of the function that computes all channels, and the functions it needs, itself last.

        A turn of its loop takes `unrolled` quads, a power of 2: fewer where code besides has to fit a small cache.
        """
        scale, functions = scaling.functions(prefix)
        name = f"{prefix}_fully_connected8_{scaling.suffix}"
        name += "" if unrolled == _UNROLLED else f"_by{unrolled}"
        helpers = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16"))
        values = {"part": "group", "prefix": prefix, "scaling": scaling, "scale": scale, "unrolled": unrolled}
        return name, (*functions, *helpers, self.render(name, values))


def group_bytes(quads: int) -> int:
    """Constants of eight channels: sums, weights and multipliers."""
    return 4 * CHANNELS * (quads + 2)


def pairs_stream(w: Array, b: Array, zero_x: int, scaling: _dsp.Scaling) -> Array:
    """Per eight channels of weights [out, K]: initial sums, weights quad by quad, multipliers: uint32.

    A rest of channels comes with those before it, so that the last eight are whole.
    """
    padded = _dsp.pad_to_words(w).astype(np.int64)
    out = len(padded)
    starts = [*range(0, out - CHANNELS, CHANNELS), out - CHANNELS]
    channels = np.concatenate([np.arange(start, start + CHANNELS) for start in starts])
    paired = padded[channels].reshape(-1, CHANNELS // 2, 2, padded.shape[1])
    halfwords = (256 * paired[:, :, 0] + paired[:, :, 1]) & 0xFFFF
    quads = halfwords.reshape(*halfwords.shape[:2], -1, 2, 2)
    words = (quads[..., 0, :] | (quads[..., 1, :] << 16)).transpose(0, 2, 3, 1)
    sums = b.astype(np.int64) - zero_x * padded.sum(axis=1)
    shifts = -scaling.shifts.astype(np.int64) - 1
    low = (sums + (1 << 23) + (shifts << 24))[channels].reshape(-1, CHANNELS // 2, 2)[:, :, 1]
    high = (256 * sums + shifts)[channels].reshape(-1, CHANNELS // 2, 2)[:, :, 0] + low
    first = np.stack([high, low], axis=2).reshape(len(starts), CHANNELS)
    multipliers = scaling.multipliers.astype(np.int64)[channels].reshape(len(starts), CHANNELS)
    parts = [first, words.reshape(len(starts), -1), multipliers]
    stream: Array = (np.concatenate(parts, axis=1) & 0xFFFFFFFF).astype(np.uint32).ravel()
    return stream


def _cycles(groups: int, quads: int, device: Device) -> int:
    """From instructions counted in the generated code for Cortex-M4, and the flash's waits for the stream and code.

    A quad costs a group 32.75, and the group itself 90. Such code is half in registers, half loads that follow one
    another.
    """
    instructions = groups * (32.75 * quads + 90) + 40
    kinds = {
        _cost.Kind.SCALE: instructions / 2,
        _cost.Kind.STREAM: instructions / 2,
        _cost.Kind.GATHER: 7 * quads,
    }
    stream = groups * group_bytes(quads)
    return round(
        _cost.cycles(device, kinds)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, stream, loads=stream / 4)
    )


FAMILY = FullyConnectedPairsDsp()
