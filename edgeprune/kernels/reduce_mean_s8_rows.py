"""Mean over the positions of a channel-last image, whose rows are added to int32 sums as they come.

For layers that run by rows alone: no tensor is there to be read as a whole. Sums of integers do not depend on order,
and the operator's check keeps |sum of (x - zero point)| below 2**31, so the mean is that of the other families.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import REQUANTIZE_INSTRUCTIONS
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames, RowForm, RowWindow
from edgeprune.ops._pooling import mean_multipliers

__all__ = ["FAMILY", "ReduceMeanRows"]

_CODE_BYTES = 180


class ReduceMeanRows(KernelFamily):
    """int8 ReduceMean over height and width of one image, by rows."""

    name = "reduce_mean_s8_rows"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        return ()

    def row_forms(self, nodes: tuple[Node, ...], device: Device) -> tuple[RowForm, ...]:
        if len(nodes) != 1 or nodes[0].op != "ReduceMean":
            return ()
        (node,), shape = nodes, nodes[0].inputs[0].shape
        if len(shape) != 4 or shape[0] != 1 or sorted(node.ints("axes")) != [1, 2]:
            return ()
        _, height, width, channels = shape
        instructions = {
            _cost.Kind.TIGHT: height * channels * (6 * width + 9),
            _cost.Kind.SCALAR: (10 + REQUANTIZE_INSTRUCTIONS) * channels,
        }
        cycles = round(_cost.cycles(device, instructions) + _cost.code_waits(device, _CODE_BYTES))
        candidate = Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles)
        return (RowForm(candidate, nodes, {node.inputs[0].name: RowWindow()}, state_bytes=4 * channels),)

    def emit_row(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        _, height, width, channels = node.inputs[0].shape
        stem = f"{names.prefix}_mean_rows_{height}x{width}x{channels}"
        values = {"prefix": names.prefix, "height": height, "width": width, "channels": channels}
        scale = (int(number[0]) for number in mean_multipliers(node, np.array([height * width])))
        zeros = (node.inputs[0].zero_point, node.output.zero_point)
        pointers = [names.tensors[node.inputs[0].name], names.tensors[node.output.name]]
        state = f"({names.prefix}_i32_t *)(void *){names.state}"
        arguments = [*pointers, state, names.row, *map(str, (*scale, *zeros, *node.ints("clamp")))]
        return Code((self.render(stem, values),), f"{stem}({', '.join(arguments)});")


FAMILY = ReduceMeanRows()
