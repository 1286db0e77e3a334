"""Sparse fully connected layers for the DSP extension: a block of outputs shares the inputs it has weights for.

For each block of 8, 16 or more output channels the inputs that any of them has a weight for are gathered by a table and
widened; the dense kernel's function for eight channels (`fully_connected_s8_dsp_pairs`) runs over these alone. All
blocks' inputs are gathered first, and the function's loop is short, so that a small cache for code holds them. An
input's place is a byte where there are up to 256, two otherwise. A block keeps a whole number of quads, filled up with
input 0 and weights of zero, and at least one. Encoding, range and scaling are the dense kernel's.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _dsp
from edgeprune.kernels._dsp_eights import CHANNELS, crossed_stream
from edgeprune.kernels._dsp_sparse_streams import gathered_bytes, gathered_constants
from edgeprune.kernels._fully_connected import matrix_shape
from edgeprune.kernels._sparsity import (
    LARGEST_INPUTS,
    OutputBlock,
    block_ranges,
    block_sizes,
    fastest_and_smallest,
    gathered_density,
    gathered_words,
    output_blocks,
    place_bytes,
    place_type,
    weight_rows,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.kernels.fully_connected_s8_dsp_pairs import END_BYTES, END_MARK, QUAD_BYTES, is_row, row_cycles
from edgeprune.kernels.fully_connected_s8_dsp_pairs import FAMILY as PAIRS

__all__ = ["FAMILY", "FullyConnectedGatheredDsp"]

_UNROLLED = 2
"""Quads of a turn of the loop: with more, the loop over blocks would not be left in a cache of 1 KB."""
_CODE_BYTES = 900
"""Of the functions that layers share, and of a layer's own, about."""


class FullyConnectedGatheredDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, whose blocks of outputs lack inputs."""

    name = "fully_connected_s8_dsp_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        rows = weight_rows(nodes[0]) if is_row(nodes, device) else None
        if rows is None or rows.shape[1] > LARGEST_INPUTS:
            return ()
        return fastest_and_smallest(self._candidates(nodes[0], rows, device))

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return PAIRS.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        comment = "blocks of outputs: size, then their weights"
        return gathered_constants(
            candidate.nodes[0], weights, _size(candidate), CHANNELS, crossed_stream, comment
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        outputs, inputs = matrix_shape(node)
        prefix, scaling, size = names.prefix, _dsp.Scaling.of(node), _size(candidate)
        places = f"{place_type(inputs)}_t"
        group, functions = PAIRS.group(prefix, scaling, _UNROLLED)
        suffix = "" if places == "uint8_t" else "_wide"
        shared = {"prefix": prefix, "places": places}
        gather = self.render(f"{prefix}_gather_inputs{suffix}", {"part": "gather", **shared})
        stem = f"{prefix}_fully_connected_{inputs}_{outputs}_gathered{size}"
        values = {
            "part": "layer",
            "inputs": inputs,
            "outputs": outputs,
            "blocks": len(block_ranges(outputs, size, CHANNELS)),
            "group": group,
            "gather": gather.name,
            "end_mark": END_MARK,
        }
        layer = self.render(stem, {**shared, **values})
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['places']}"
        pairs = f"({prefix}_u32_t *)(void *){names.scratch}"
        body = f"{stem}({x}, {constants}, {y}, {pairs}, {scaling.zero});"
        return Code((*functions, gather, layer), body)

    def _candidates(self, node: Node, rows: Array, device: Device) -> Iterator[Candidate]:
        for size in block_sizes(len(rows), CHANNELS):
            blocks = output_blocks(rows, size, CHANNELS)
            constant_bytes = gathered_bytes(blocks) + place_bytes(rows.shape[1], blocks)
            yield Candidate(
                self.name,
                f"{self.name}_{size}",
                (node,),
                flash_bytes=_CODE_BYTES + constant_bytes,
                cycles=_cycles(blocks, constant_bytes, device),
                scratch_bytes=QUAD_BYTES * _quads(blocks) + END_BYTES * len(blocks),
                overlap=(None,),
                parameters={"block": size},
                density=gathered_density(rows, blocks),
            )


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _quads(blocks: tuple[OutputBlock, ...]) -> int:
    """Quads of inputs that all blocks gather."""
    return sum(gathered_words(kept) for *_, kept in blocks)


def _cycles(blocks: tuple[OutputBlock, ...], constant_bytes: int, device: Device) -> int:
    """A quad of inputs costs 18 to gather and, for each eight channels, 31.25; eight channels cost 90, a block 50."""
    groups = [((end - first) // CHANNELS, gathered_words(kept)) for first, end, kept in blocks]
    return row_cycles(
        device,
        products=sum(count * (31.25 * quads + 90) for count, quads in groups) + 40,
        gathering=sum(18 * quads + 50 for _, quads in groups),
        code_bytes=_CODE_BYTES,
        constant_bytes=constant_bytes,
    )


FAMILY = FullyConnectedGatheredDsp()
