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

__all__ = [
    "CHANNELS",
    "FAMILY",
    "QUAD_BYTES",
    "STREAM_ALIGN",
    "FullyConnectedPairsDsp",
    "emit_row",
    "is_row",
    "pairs_stream",
    "row_cycles",
]

CHANNELS = 8
"""Of a group."""
QUAD_BYTES = 8
"""Of four widened inputs."""
STREAM_ALIGN = 8
"""So that no 64-bit word of flash is read twice."""
_UNROLLED = 4
"""Quads of a turn of the loop."""
_CODE_BYTES = 1000
"""Of the function that layers share, and of a layer's own, about."""


class FullyConnectedPairsDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, with eight outputs or more."""

    name = "fully_connected_s8_dsp_pairs"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not is_row(nodes, device):
            return ()
        outputs, inputs = matrix_shape(nodes[0])
        quads, groups = -(-inputs // 4), -(-outputs // CHANNELS)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + groups * _group_bytes(quads),
                cycles=_cycles(groups, quads, device),
                scratch_bytes=QUAD_BYTES * quads,
                overlap=(None,),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        matrix = weights[w.name].reshape(matrix_shape(node))
        stream = pairs_stream(matrix, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        comment = "initial sums, weights, multipliers of eight channels"
        return (Constant("stream", "uint32_t", stream, comment, align=STREAM_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        return emit_row(self, "pairs", node, names, *self.group(names.prefix, _dsp.Scaling.of(node)))

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


def is_row(nodes: tuple[Node, ...], device: Device) -> bool:
    """Whether `nodes` are one row times a matrix of eight outputs or more, and the device has the extension."""
    if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
        return False
    outputs, _ = matrix_shape(nodes[0])
    return outputs >= CHANNELS and row_count(nodes[0]) == 1


def emit_row(
    family: KernelFamily,
    variant: str,
    node: Node,
    names: LayerNames,
    group: str,
    functions: tuple[Function, ...],
) -> Code:
    """The C of `node` by the part "layer" of the template of `family`, which widens the row and calls `group`."""
    (outputs, inputs), scaling, prefix = matrix_shape(node), _dsp.Scaling.of(node), names.prefix
    stem = f"{prefix}_fully_connected_{inputs}_{outputs}_{variant}"
    values = {
        "part": "layer",
        "prefix": prefix,
        "scaling": scaling,
        "inputs": inputs,
        "outputs": outputs,
        "group": group,
    }
    x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
    wide = f"({prefix}_u32_t *)(void *){names.scratch}"
    body = f"{stem}({x}, {names.constants['stream']}, {y}, {wide}, {scaling.zero});"
    helpers = _dsp.helpers(prefix, ("portable_sxtb16", "widen"))
    return Code((*functions, *helpers, family.render(stem, values)), body)


def row_cycles(
    device: Device, *, products: float, gathering: float, code_bytes: int, constant_bytes: int
) -> int:
    """From instructions counted in the generated code for Cortex-M4, and the flash's waits for constants and code.

    Code of `products` is half in registers, half loads that follow one another; `gathering` is what the inputs take.
    """
    kinds = {
        _cost.Kind.SCALE: products / 2,
        _cost.Kind.STREAM: products / 2,
        _cost.Kind.GATHER: gathering,
    }
    return round(
        _cost.cycles(device, kinds)
        + _cost.code_waits(device, code_bytes)
        + _cost.read_waits(device, constant_bytes, loads=constant_bytes / 4)
    )


def _group_bytes(quads: int) -> int:
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
    """A quad costs a group 32.75, and 7 to widen; a group costs 90."""
    return row_cycles(
        device,
        products=groups * (32.75 * quads + 90) + 40,
        gathering=7 * quads,
        code_bytes=_CODE_BYTES,
        constant_bytes=groups * _group_bytes(quads),
    )


FAMILY = FullyConnectedPairsDsp()
