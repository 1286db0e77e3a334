"""Portable C for int8 MaxPool and AveragePool, channel by channel within each output pixel.

Windows that average different numbers of elements find their multiplier in a table indexed by that number.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost
from edgeprune.kernels._requantization import (
    REQUANTIZE_INSTRUCTIONS,
    channelwise_distance,
    edges,
)
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._pooling import mean_multipliers, pool_geometry
from edgeprune.ops.average_pool import OPERATOR as AVERAGE_POOL

__all__ = ["FAMILY", "PoolPortable"]

_CODE_BYTES = 260


class PoolPortable(KernelFamily):
    """int8 MaxPool and AveragePool."""

    name = "pool_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op not in ("MaxPool", "AveragePool"):
            return ()
        node = nodes[0]
        g = pool_geometry(node)
        mean = node.op == "AveragePool"
        table = 5 * g.taps if mean and len(_distinct_counts(node)) > 1 else 0
        taps = g.kernel_height * g.kernel_width
        per_output = 4 * taps + 4 * g.kernel_height + 4
        if mean:
            per_output = 6 * taps + 10 * g.kernel_height + REQUANTIZE_INSTRUCTIONS
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + table,
                cycles=round(
                    _cost.cycles(device, {_cost.Kind.SCALAR: per_output * node.output.elements})
                    + _cost.code_waits(device, _CODE_BYTES)
                ),
                overlap=(channelwise_distance(g),),
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        if node.op == "MaxPool" or len(_distinct_counts(node)) == 1:
            return ()
        multipliers, shifts = mean_multipliers(node, np.arange(1, pool_geometry(node).taps + 1))
        return (
            Constant("multipliers", "int32_t", multipliers, "for averages of 1, 2, 3 ... elements"),
            Constant("shifts", "int8_t", shifts.astype(np.int8), align=1),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g = pool_geometry(node)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        kind = "max" if node.op == "MaxPool" else "average"
        stem = (
            f"{names.prefix}_{kind}_pool_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        values = {"prefix": names.prefix, "g": g, "edges": edges(g), "kind": kind}
        if kind == "max":
            return Code((self.render(stem, values),), f"{stem}({x}, {y});")
        distinct = _distinct_counts(node)
        scale = [names.constants.get("multipliers", ""), names.constants.get("shifts", "")]
        if len(distinct) == 1:
            scale = [str(int(number[0])) for number in mean_multipliers(node, distinct)]
        arguments = [x, y, *scale]
        arguments += map(str, (node.inputs[0].zero_point, node.output.zero_point, *node.ints("clamp")))
        return Code((self.render(stem, values | _counting(node)),), f"{stem}({', '.join(arguments)});")


def _distinct_counts(node: Node) -> Array:
    """The numbers of elements that the windows of an AveragePool average, each once."""
    rows, columns = AVERAGE_POOL.axis_counts(node)
    return np.unique(np.multiply.outer(rows, columns))


def _counting(node: Node) -> dict[str, object]:
    """How the template counts a window's elements."""
    g = pool_geometry(node)
    if len(_distinct_counts(node)) == 1:
        return {"counts": "fixed"}
    if not node.int("count_include_pad"):
        return {"counts": "inside", "count_height": g.in_height, "count_width": g.in_width}
    below, beside = node.ints("overhang")
    return {
        "counts": "padded",
        "count_height": g.in_height + g.pad_bottom - below,
        "count_width": g.in_width + g.pad_right - beside,
    }


FAMILY = PoolPortable()
