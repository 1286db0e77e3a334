"""MaxPool and AveragePool for cores with Helium: 16 channels at a time, or 8 for an average.

Averages are those of whole windows, which all have one multiplier; a halfword holds the sum of 256 bytes at most, since
256 * -128 = -2**15. They are requantised as in `_mve`, by a right shift, or the family refuses.

Overlap as in the portable kernel: within a pixel, no channel is read after it is stored, and channels go upwards.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels._mve_cost import Work, cycles
from edgeprune.kernels._requantization import channelwise_distance, edges
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops._convolution import ConvGeometry
from edgeprune.ops._pooling import mean_multipliers, pool_geometry

__all__ = ["FAMILY", "PoolMve"]

_CODE_BYTES = 250
_MOST_TAPS = 256
_LANES = {"MaxPool": 16, "AveragePool": 8}


class PoolMve(KernelFamily):
    """int8 MaxPool, and AveragePool of windows inside the image."""

    name = "pool_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or nodes[0].op not in _LANES:
            return ()
        (node,) = nodes
        g = pool_geometry(node)
        if node.op == "AveragePool" and not _is_plain_average(node, g):
            return ()
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES,
                cycles=_cycles(g, node.op, device),
                overlap=(channelwise_distance(g),),
            ),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        g = pool_geometry(node)
        kind = "max" if node.op == "MaxPool" else "average"
        stem = (
            f"{names.prefix}_mve_{kind}_pool_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        values = {"prefix": names.prefix, "g": g, "edges": edges(g), "kind": kind, "lanes": _LANES[node.op]}
        arguments = [names.tensors[node.inputs[0].name], names.tensors[node.output.name]]
        if kind == "average":
            offset = -_taps(g) * node.inputs[0].zero_point
            numbers = (*_scale(node, g), offset, node.output.zero_point, *node.ints("clamp"))
            arguments += map(str, numbers)
        return Code((self.render(stem, values),), f"{stem}({', '.join(arguments)});")


def _taps(g: ConvGeometry) -> int:
    return g.kernel_height * g.kernel_width


def _scale(node: Node, g: ConvGeometry) -> tuple[int, int]:
    """Multiplier and shift of whole windows."""
    multipliers, shifts = mean_multipliers(node, np.array([_taps(g)]))
    return int(multipliers[0]), int(shifts[0]) if multipliers[0] else -1


def _is_plain_average(node: Node, g: ConvGeometry) -> bool:
    """Whether all windows lie inside the image and halfwords hold their sums, which a right shift scales."""
    return not g.is_padded and _taps(g) <= _MOST_TAPS and _scale(node, g)[1] < 0


def _cycles(g: ConvGeometry, op: str, device: Device) -> int:
    """Windows inside the image become straight lines; others are loops over taps."""
    vectors, pixels = -(-g.in_channels // _LANES[op]), g.batch * g.out_height * g.out_width
    per_vector = _taps(g) * Work(3) + (Work(2) if op == "MaxPool" else Work(34, 8))
    per_pixel = Work(scalar=3)
    if g.is_padded:
        per_vector += Work(scalar=_taps(g) + 6 * g.kernel_height + 8)
        per_pixel = Work(scalar=20)
    return cycles(device, pixels * (vectors * per_vector + per_pixel), code_bytes=_CODE_BYTES, constants=0)


FAMILY = PoolMve()
