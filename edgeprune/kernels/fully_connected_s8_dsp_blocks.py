"""Sparse fully connected layers for the DSP extension: blocks of weights, eight outputs times four inputs.

The dense kernel `fully_connected_s8_dsp_pairs` works through quads of inputs for eight output channels. Here each quad
comes with the distance from the one before, and those without a weight for any of the eight are absent: four bytes and
four instructions more for each that is left. Encoding, range and scaling are that kernel's; eight channels keep at
least one quad.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _dsp
from edgeprune.kernels._dsp_eights import CHANNELS, plain_stream
from edgeprune.kernels._dsp_sparse_streams import record_counts, record_stream, records_bytes
from edgeprune.kernels._fully_connected import matrix_shape
from edgeprune.kernels._sparsity import weight_rows
from edgeprune.kernels.base import Candidate, Code, Constant, Function, KernelFamily, LayerNames, Weights
from edgeprune.kernels.fully_connected_s8_dsp_pairs import QUAD_BYTES, STREAM_ALIGN, is_row, row_cycles

__all__ = ["FAMILY", "FullyConnectedBlocksDsp"]

_CODE_BYTES = 900
"""Of the function that layers share, and of a layer's own, about."""


class FullyConnectedBlocksDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, whose weights lack blocks of 8 x 4."""

    name = "fully_connected_s8_dsp_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        rows = weight_rows(nodes[0]) if is_row(nodes, device) else None
        if rows is None:
            return ()
        records, quads = record_counts(rows, CHANNELS), -(-rows.shape[1] // 4)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + records_bytes(records, CHANNELS),
                cycles=_cycles(records, quads, device),
                scratch_bytes=QUAD_BYTES * quads,
                overlap=(None,),
                density=min(1.0, int(records.sum()) * 4 * CHANNELS / rows.size),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return _dsp.is_exact_and_short(candidate.nodes[0], weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        stream = record_stream(candidate.nodes[0], weights, CHANNELS, QUAD_BYTES, plain_stream)
        comment = "initial sums, records of weights, multipliers of eight channels"
        return (Constant("stream", "uint32_t", stream, comment, align=STREAM_ALIGN),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        (outputs, inputs), scaling = matrix_shape(node), _dsp.Scaling.of(node)
        group, functions = self._group(prefix, scaling)
        values = {"part": "layer", "prefix": prefix, "inputs": inputs, "outputs": outputs, "group": group}
        layer = self.render(f"{prefix}_fully_connected_{inputs}_{outputs}_blocks", values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        wide = f"({prefix}_u32_t *)(void *){names.scratch}"
        body = f"{layer.name}({x}, {names.constants['stream']}, {y}, {wide}, {scaling.zero});"
        return Code((*functions, *_dsp.helpers(prefix, ("portable_sxtb16", "widen")), layer), body)

    def _group(self, prefix: str, scaling: _dsp.Scaling) -> tuple[str, tuple[Function, ...]]:
        """The name of the function that computes all channels, and the functions it needs, itself last."""
        scale, functions = scaling.functions(prefix)
        name = f"{prefix}_fully_connected8_blocks_{scaling.suffix}"
        helpers = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16"))
        values = {"part": "group", "prefix": prefix, "scaling": scaling, "scale": scale}
        return name, (*functions, *helpers, self.render(name, values))


def _cycles(records: Array, quads: int, device: Device) -> int:
    """A record costs 36.5, a group 88, a quad of inputs 7 to widen."""
    return row_cycles(
        device,
        products=36.5 * int(records.sum()) + 88 * len(records) + 40,
        gathering=7 * quads,
        code_bytes=_CODE_BYTES,
        constant_bytes=records_bytes(records, CHANNELS),
    )


FAMILY = FullyConnectedBlocksDsp()
