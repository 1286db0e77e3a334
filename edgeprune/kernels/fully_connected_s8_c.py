"""Portable C for int8 fully connected layers: one row, four output channels at a time."""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    requantization_constants,
    weighted_arguments,
)
from edgeprune.kernels._sums import (
    block_sizes,
    last_block,
    multiply_function,
    multiply_name,
    store_function,
    sum_cycles,
    sum_instructions,
    weight_type,
    weight_waits,
    weights_constant,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights

__all__ = ["FAMILY", "FullyConnectedPortable"]

_CODE_BYTES = 220


class FullyConnectedPortable(KernelFamily):
    """int8 FullyConnected."""

    name = "fully_connected_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "FullyConnected":
            return ()
        channels, depth = nodes[0].inputs[1].shape
        flash = _CODE_BYTES + nodes[0].inputs[1].bytes + channels * REQUANTIZE_BYTES
        rows = nodes[0].output.elements // channels
        sums = sum_instructions(channels, depth, 1, 1)
        cycles = round(
            sum_cycles(device, sums, channels * REQUANTIZE_INSTRUCTIONS, rows)
            + _cost.code_waits(device, _CODE_BYTES)
            + weight_waits(device, nodes[0], rows * depth * channels, rows)
        )
        return (
            Candidate(
                self.name, self.name, nodes, flash, cycles, overlap=(_distance(rows, depth, channels),)
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        _, w, b = node.inputs
        return (weights_constant(weights[w.name]), *requantization_constants(node, weights[b.name]))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        channels, depth = node.inputs[1].shape
        rows = node.output.elements // channels
        store, stored = store_function(names.prefix, node), weight_type(node)
        stem = f"{names.prefix}_fully_connected_{rows}x{depth}_{channels}"
        values = {
            "multiply": multiply_name(names.prefix, stored),
            "weight": f"{stored}_t",
            "store": store.name,
            "rows": rows,
            "depth": depth,
            "channels": channels,
        }
        function = self.render(stem, values)
        sums = [multiply_function(names.prefix, count, stored) for count in block_sizes(channels)]
        return Code((*sums, store, function), f"{stem}({weighted_arguments(node, names)});")


def _distance(rows: int, depth: int, channels: int) -> int:
    """Least address(input) - address(output): row r is read until its last block of channels is stored.

    Before that block is stored, r * channels + channels - last bytes are, and r * depth onwards is needed.
    """
    last = last_block(channels)
    ends = [(row, row * channels + channels - last) for row in (0, rows - 1)]
    after = [(row, row * channels) for row in (1, rows - 1) if row < rows]
    return max(0, *(stored - row * depth for row, stored in ends + after))


FAMILY = FullyConnectedPortable()
