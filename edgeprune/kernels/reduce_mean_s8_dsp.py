"""Mean over the positions of a channel-last image for cores with the DSP extension: four channels at a time.

SXTAB16 adds two bytes to two halfwords, so that a word of four channels costs two instructions. A halfword holds
the sum of 256 bytes at most, since 256 * -128 = -2**15; the family refuses more positions.

By rows the halfwords are kept from row to row, in two bytes for each channel.

In place is safe: four means are stored after all inputs of their channels were read, at or below those inputs.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost, _dsp
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames, RowForm, RowWindow
from edgeprune.ops._pooling import mean_multipliers

__all__ = ["FAMILY", "ReduceMeanDsp"]

_CODE_BYTES = 200
_MOST_POSITIONS = 256


class ReduceMeanDsp(KernelFamily):
    """int8 ReduceMean over all positions of one image; channels a multiple of 4."""

    name = "reduce_mean_s8_dsp"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.dsp or len(nodes) != 1 or nodes[0].op != "ReduceMean":
            return ()
        positions, channels = _extents(nodes[0])
        if positions > _MOST_POSITIONS or channels % 4 or positions * channels != nodes[0].inputs[0].elements:
            return ()
        # Counted in the code generated for Cortex-M4: a word of four channels, and the mean of each.
        instructions = {_cost.Kind.TIGHT: channels // 4 * 5 * positions, _cost.Kind.SCALE: 37 * channels}
        cycles = round(_cost.cycles(device, instructions) + _cost.code_waits(device, _CODE_BYTES))
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles, overlap=(0,)),)

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        """The sums of a row's words are added to those of the rows before."""
        if not self.candidates(nodes, device) or len(nodes[0].inputs[0].shape) != 4:
            return ()
        _, height, width, channels = nodes[0].inputs[0].shape
        instructions = {
            _cost.Kind.TIGHT: channels // 4 * height * (5 * width + 12),
            _cost.Kind.SCALE: 37 * channels,
        }
        cycles = round(_cost.cycles(device, instructions) + _cost.code_waits(device, _CODE_BYTES))
        candidate = Candidate(self.name, f"{self.name}_rows", nodes, _CODE_BYTES, cycles)
        return (RowForm(candidate, nodes, {nodes[0].inputs[0].name: RowWindow()}, state_bytes=2 * channels),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        return self._emit(candidate.nodes[0], names, height=1)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        return self._emit(candidate.nodes[0], names, height=candidate.nodes[0].inputs[0].shape[1])

    def _emit(self, node: Node, names: LayerNames, height: int) -> Code:
        """In `height` calls; of more than one each adds a row."""
        positions, channels = _extents(node)
        rows = f"{height}_rows_of_" if height > 1 else ""
        stem = f"{names.prefix}_mean_words_{rows}{positions}x{channels}"
        values = {"prefix": names.prefix, "positions": positions, "channels": channels, "height": height}
        scale = (int(number[0]) for number in mean_multipliers(node, np.array([positions])))
        zeros = (node.inputs[0].zero_point, node.output.zero_point)
        pointers = [names.tensors[node.inputs[0].name], names.tensors[node.output.name]]
        if height > 1:
            pointers += [f"({names.prefix}_u32_t *)(void *){names.state}", names.row]
        arguments = ", ".join([*pointers, *map(str, (*scale, *zeros, *node.ints("clamp")))])
        functions = (*_dsp.helpers(names.prefix, ("sxtab16", "sxtab16_1")), self.render(stem, values))
        return Code(functions, f"{stem}({arguments});")


def _extents(node: Node) -> tuple[int, int]:
    """Positions each mean is over, and channels; their product is the input's size only where this kernel fits."""
    shape, gone = node.inputs[0].shape, node.ints("axes")
    inner = len(shape) - 1
    if inner in gone:
        return 0, 0
    return math.prod(shape[axis] for axis in gone), shape[inner]


FAMILY = ReduceMeanDsp()
