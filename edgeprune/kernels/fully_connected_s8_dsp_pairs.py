"""Fully connected layers for cores with the DSP extension: one input row, eight output channels at a time.

Each weight is used once, so what it costs to fetch and unpack it decides. Two channels share a halfword of weights,
256*w + v, whose product with a widened input x adds to 256*W + V (`_dsp_eights`). V itself is summed by half as many
multiplications as it has weights, after S. Winograd, "A new algorithm for inner product", IEEE Transactions on
Computers C-17, 1968: of two inputs and their weights

    (v0 + x1) * (v1 + x0) = v0*x0 + v1*x1 + v0*v1 + x0*x1

where products of weights alone are known, so that the initial sum lacks them, and products of inputs alone are the
same for all channels: they are summed while the row is widened, and taken off once a channel. SXTAB16 makes v0 + x1 of
two weights at once, for what unpacking them costs anyway. For two words of weights, of four inputs and two channels,
that is two SMLAD, two SXTAB16 and one SMLAD: five instructions where six would sum the products of V one by one.

It is exact where |w| <= 127 and both accumulators are below 2**23 over the whole input range (`_dsp.is_exact`):
then 256*w + v is within int16, as is v + x, and 256*W within int32; sums on the way may wrap, because additions modulo
2**32 commute.

Behind the widened row stand a word that no two inputs are, which ends the loop, and the sum of products of inputs,
which is loaded with it; the multipliers of the first two channels come with them, from where further weights would be.
Loads follow one another, because all of a burst but the first take one cycle: a quad's inputs and the first of its
weights, then two words of weights at a time, for which four registers are left.

Requantisation is that of `_dsp`, for right shifts without clamps; the last of the n places is shifted by SSAT.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._dsp_eights import CHANNELS, crossed_stream
from edgeprune.kernels._fully_connected import is_fully_connected, matrix_shape, row_count
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights

__all__ = [
    "END_BYTES",
    "END_MARK",
    "FAMILY",
    "QUAD_BYTES",
    "STREAM_ALIGN",
    "FullyConnectedPairsDsp",
    "is_row",
    "row_cycles",
]

QUAD_BYTES = 8
"""Of four widened inputs."""
END_BYTES = 8
"""Of what stands behind them."""
END_MARK = "0x80008000"
"""No two inputs: a halfword of one is within [-128, 127]."""
STREAM_ALIGN = 8
"""So that no 64-bit word of flash is read twice."""
_UNROLLED = 4
"""Quads of a turn of the loop."""
_CODE_BYTES = 900
"""Of the functions that layers share, and of a layer's own, about."""


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
                scratch_bytes=QUAD_BYTES * quads + END_BYTES,
                overlap=(None,),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        x, w, b = node.inputs
        matrix = weights[w.name].reshape(matrix_shape(node))
        stream = crossed_stream(matrix, weights[b.name], x.zero_point, _dsp.Scaling.of(node))
        comment = "initial sums, weights, multipliers of eight channels"
        return (Constant("stream", "uint32_t", stream, comment, align=STREAM_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        (outputs, inputs), scaling = matrix_shape(node), _dsp.Scaling.of(node)
        group, functions = self.group(prefix, scaling)
        widen = self.render(f"{prefix}_widen_row", {"part": "widen", "prefix": prefix})
        values = {
            "part": "layer",
            "prefix": prefix,
            "inputs": inputs,
            "outputs": outputs,
            "widen": widen.name,
            "group": group,
            "end_mark": END_MARK,
        }
        layer = self.render(f"{prefix}_fully_connected_{inputs}_{outputs}_pairs", values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        wide = f"({prefix}_u32_t *)(void *){names.scratch}"
        body = f"{layer.name}({x}, {names.constants['stream']}, {y}, {wide}, {scaling.zero});"
        return Code((*functions, widen, layer), body)

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
        values = {
            "part": "group",
            "prefix": prefix,
            "scaling": scaling,
            "scale": scale,
            "unrolled": unrolled,
            "end_mark": END_MARK,
        }
        return name, (*functions, *helpers, self.render(name, values))


def is_row(nodes: tuple[Node, ...], device: Device) -> bool:
    """Whether `nodes` are one row times a matrix of eight outputs or more, and the device has the extension."""
    if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
        return False
    outputs, _ = matrix_shape(nodes[0])
    return outputs >= CHANNELS and row_count(nodes[0]) == 1


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


def _cycles(groups: int, quads: int, device: Device) -> int:
    """A quad costs a group 30, and 6 to widen; a group costs 90."""
    return row_cycles(
        device,
        products=groups * (30 * quads + 90) + 40,
        gathering=6 * quads,
        code_bytes=_CODE_BYTES,
        constant_bytes=groups * _group_bytes(quads),
    )


FAMILY = FullyConnectedPairsDsp()
