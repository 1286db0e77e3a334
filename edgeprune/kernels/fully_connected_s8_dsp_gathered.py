"""Sparse fully connected layers for the DSP extension: a block of outputs shares the inputs it has weights for.

For each block of 8, 16 or more output channels the inputs that any of them has a weight for are gathered by a table and
widened; the dense kernel's function for eight channels (`fully_connected_s8_dsp_pairs`) runs over these alone. All
blocks' inputs are gathered first, and the function's loop is short, so that a small cache for code holds them. An
input's place is a byte where there are up to 256, two otherwise. A block keeps a whole number of quads, filled up with
input 0 and weights of zero, and at least one. Encoding, range and scaling are the dense kernel's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels._fully_connected import is_fully_connected, matrix_shape, row_count
from edgeprune.kernels._sparsity import (
    OutputBlock,
    block_ranges,
    gathered_words,
    output_blocks,
    place_type,
    weight_rows,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights, weights_of
from edgeprune.kernels.fully_connected_s8_dsp_pairs import (
    CHANNELS,
    group_bytes,
    pairs_stream,
)
from edgeprune.kernels.fully_connected_s8_dsp_pairs import FAMILY as PAIRS

__all__ = ["FAMILY", "FullyConnectedGatheredDsp"]

_BLOCKS = (8, 16, 32, 64)
"""Output channels that may share their inputs, besides all of them."""
_LARGEST_INPUTS = 1 << 16
"""What a place and the number of a block's quads reach."""
_UNROLLED = 2
"""Quads of a turn of the loop: with more, the loop over blocks would not be left in a cache of 1 KB."""
_CODE_BYTES = 900
"""Of the functions that layers share, and of a layer's own, about."""


class FullyConnectedGatheredDsp(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, whose blocks of outputs lack inputs."""

    name = "fully_connected_s8_dsp_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or not is_fully_connected(nodes[0]):
            return ()
        rows = weight_rows(nodes[0])
        if (
            rows is None
            or len(rows) < CHANNELS
            or row_count(nodes[0]) > 1
            or rows.shape[1] >= _LARGEST_INPUTS
        ):
            return ()
        whole = -(-len(rows) // CHANNELS) * CHANNELS
        sizes = {min(size, whole) for size in (*_BLOCKS, whole)}
        offered = [self._candidate(nodes[0], rows, size, device) for size in sorted(sizes)]
        fastest = min(offered, key=lambda candidate: candidate.cycles)
        smallest = min(offered, key=lambda candidate: candidate.flash_bytes)
        return (fastest,) if fastest is smallest else (fastest, smallest)

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return PAIRS.admits(candidate, weights)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(matrix_shape(node))
        b, scaling = weights[node.inputs[2].name], _dsp.Scaling.of(node)
        parts, places = [], []
        for first, end, kept in output_blocks(rows, _size(candidate), CHANNELS):
            quads = gathered_words(kept)
            inputs = np.pad(kept, (0, 4 * quads - len(kept)))
            own = rows[first:end][:, inputs]
            own[:, len(kept) :] = 0
            part = replace(
                scaling, multipliers=scaling.multipliers[first:end], shifts=scaling.shifts[first:end]
            )
            parts.append(np.array([quads | (end - first) << 16, first], np.uint32))
            parts.append(pairs_stream(own, b[first:end], node.inputs[0].zero_point, part))
            places.append(inputs)
        dtype = place_type(rows.shape[1])
        return (
            Constant(
                "stream", "uint32_t", np.concatenate(parts), "blocks of outputs: size, then their weights"
            ),
            Constant("places", f"{dtype}_t", np.concatenate(places).astype(dtype), "inputs of each block"),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        outputs, inputs = matrix_shape(node)
        rows = weights_of((node,))[node.inputs[1].name].reshape(outputs, inputs)
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
        }
        layer = self.render(stem, {**shared, **values})
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['places']}"
        pairs = f"({prefix}_u32_t *)(void *){names.scratch}"
        gathered = _quads(output_blocks(rows, size, CHANNELS))
        body = f"{stem}({x}, {constants}, {y}, {pairs}, {gathered}, {scaling.zero});"
        return Code((*functions, gather, layer), body)

    def _candidate(self, node: Node, rows: Array, size: int, device: Device) -> Candidate:
        blocks = output_blocks(rows, size, CHANNELS)
        weights = sum((end - first) * 4 * gathered_words(kept) for first, end, kept in blocks)
        inputs = rows.shape[1]
        return Candidate(
            self.name,
            f"{self.name}_{size}",
            (node,),
            flash_bytes=_CODE_BYTES + _stream_bytes(blocks) + _place_bytes(inputs, blocks),
            cycles=_cycles(inputs, blocks, device),
            scratch_bytes=8 * _quads(blocks),
            overlap=(None,),
            parameters={"block": size},
            density=min(1.0, weights / rows.size),
        )


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _quads(blocks: tuple[OutputBlock, ...]) -> int:
    """Quads of inputs that all blocks gather."""
    return sum(gathered_words(kept) for *_, kept in blocks)


def _stream_bytes(blocks: tuple[OutputBlock, ...]) -> int:
    """A header for each block, and its groups of eight channels."""
    return sum(
        8 + (end - first) // CHANNELS * group_bytes(gathered_words(kept)) for first, end, kept in blocks
    )


def _place_bytes(inputs: int, blocks: tuple[OutputBlock, ...]) -> int:
    return 4 * _quads(blocks) * np.dtype(place_type(inputs)).itemsize


def _cycles(inputs: int, blocks: tuple[OutputBlock, ...], device: Device) -> int:
    """From instructions counted in the generated code for Cortex-M4, and the flash's waits for constants and code.

    A quad of inputs costs 18 to gather and, for each eight channels, 34.25; eight channels cost 90, a block 50.
    """
    groups = [((end - first) // CHANNELS, gathered_words(kept)) for first, end, kept in blocks]
    instructions = sum(count * (34.25 * quads + 90) for count, quads in groups) + 40
    kinds = {
        _cost.Kind.SCALE: instructions / 2,
        _cost.Kind.STREAM: instructions / 2,
        _cost.Kind.GATHER: sum(18 * quads + 50 for _, quads in groups),
    }
    size = _stream_bytes(blocks) + _place_bytes(inputs, blocks)
    return round(
        _cost.cycles(device, kinds)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, size, loads=size / 4)
    )


FAMILY = FullyConnectedGatheredDsp()
