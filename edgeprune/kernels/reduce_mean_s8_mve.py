"""Mean over the positions of a channel-last image for cores with Helium: eight channels at a time.

A halfword holds the sum of 256 bytes at most, since 256 * -128 = -2**15; the family refuses more positions. Sums are
requantised as in `_mve`, by one multiplier and one right shift for all channels, or the family refuses.

In place is safe: eight means are stored after all inputs of their channels were read, at or below those inputs.
"""

from __future__ import annotations

import math

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._mve_cost import Work, cycles
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops._pooling import mean_multipliers

__all__ = ["FAMILY", "ReduceMeanMve"]

_CODE_BYTES = 200
_MOST_POSITIONS = 256
_TOGETHER = 8
_VECTOR_CYCLES = 3
"""Of one position of eight channels."""


class ReduceMeanMve(KernelFamily):
    """int8 ReduceMean over all positions of one image."""

    name = "reduce_mean_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or nodes[0].op != "ReduceMean":
            return ()
        positions, channels = _extents(nodes[0])
        if positions > _MOST_POSITIONS or positions * channels != nodes[0].inputs[0].elements:
            return ()
        if _scale(nodes[0], positions)[1] >= 0:
            return ()
        groups = -(-channels // _TOGETHER)
        work = groups * (positions * Work(_VECTOR_CYCLES) + Work(30, 20)) + Work(scalar=30)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                _CODE_BYTES,
                cycles(device, work, code_bytes=_CODE_BYTES, constants=0),
                overlap=(0,),
            ),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        positions, channels = _extents(node)
        stem = f"{names.prefix}_mve_mean_{positions}x{channels}"
        function = self.render(
            stem,
            {"prefix": names.prefix, "positions": positions, "channels": channels, "together": _TOGETHER},
        )
        offset = -positions * node.inputs[0].zero_point
        numbers = (*_scale(node, positions), offset, node.output.zero_point, *node.ints("clamp"))
        pointers = [names.tensors[node.inputs[0].name], names.tensors[node.output.name]]
        return Code((function,), f"{stem}({', '.join([*pointers, *map(str, numbers)])});")


def _scale(node: Node, positions: int) -> tuple[int, int]:
    """Multiplier and shift of all sums."""
    multipliers, shifts = mean_multipliers(node, np.array([positions]))
    return int(multipliers[0]), int(shifts[0]) if multipliers[0] else -1


def _extents(node: Node) -> tuple[int, int]:
    """Positions each mean is over, and channels; their product is the input's size only where this kernel fits."""
    shape, gone = node.inputs[0].shape, node.ints("axes")
    inner = len(shape) - 1
    if inner in gone:
        return 0, 0
    return math.prod(shape[axis] for axis in gone), shape[inner]


FAMILY = ReduceMeanMve()
