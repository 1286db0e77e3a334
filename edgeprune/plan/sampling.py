"""Kernel costs of a layer over a grid of channel numbers, each shape asked for once.

A long axis is sampled at `_POINTS` widths and interpolated between them; fewer for a layer whose weights are zero in
a pattern, which takes longer to ask about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, families
from edgeprune.ops import operator_for
from edgeprune.patterns import LayerPattern
from edgeprune.plan.candidates import admitted_candidates
from edgeprune.plan.objective import Objective
from edgeprune.plan.overlap import input_distances, span_bytes
from edgeprune.plan.resize import resized
from edgeprune.plan.thinned import thinned

__all__ = ["Cost", "KernelCosts", "ResizableLayer", "Table", "parameters_of"]

_POINTS = 17
_SPARSE_POINTS = 5

Cost = tuple[int, int, int, int, int]
"""Flash bytes, cycles, scratch bytes less those that input and output share, MACs, parameters."""
Table = npt.NDArray[np.int64]
"""Costs [5, input widths, output widths]."""


@dataclass(frozen=True, eq=False)
class ResizableLayer:
    """A weighted layer of the unpruned plan, the kernel families that run it, and what becomes of its input.

    `coupled`: its input and output channels belong to one group.
    """

    node: Node
    families: tuple[str, ...]
    input_dies: bool
    coupled: bool


class KernelCosts:
    """Costs of resized layers on one device; remembers what it was asked, whatever the objective."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._known: dict[object, tuple[Cost, ...]] = {}
        self._sparse: dict[object, tuple[str, ...]] = {}

    def table(
        self,
        layer: ResizableLayer,
        inputs: Sequence[int],
        outputs: Sequence[int],
        objective: Objective,
        pattern: LayerPattern | None = None,
    ) -> Table:
        """Costs of `layer` at each number of input and of output channels, by the best kernel for `objective`.

        Where both are the same group's, they go in step and only the diagonal is filled. With a `pattern` its weights
        are zero in that; where no sparse kernel is better, that helps nothing.

        Raises:
            UsageError: no kernel runs the layer at some width.
        """
        points = _POINTS if pattern is None else _SPARSE_POINTS
        rows, columns = _samples(len(inputs), points), _samples(len(outputs), points)
        values = np.zeros((5, len(rows), len(columns)), np.int64)
        shape = _shape_of(layer.node), layer.families, layer.input_dies
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                if not layer.coupled or i == j:
                    offers = self._offers(layer, shape, inputs[row], outputs[column])
                    if pattern is not None:
                        offers += self._sparse_offers(layer, shape, inputs[row], outputs[column], pattern)
                    values[:, i, j] = min(offers, key=lambda cost: _rank(cost, objective))
        if layer.coupled:
            diagonal = _stretched(np.diagonal(values, axis1=1, axis2=2), rows, inputs)
            return np.eye(len(inputs), dtype=np.int64) * diagonal[:, :, None]
        wide = _stretched(values, columns, outputs)
        return _stretched(wide.swapaxes(1, 2), rows, inputs).swapaxes(1, 2)

    def _offers(self, layer: ResizableLayer, shape: object, inputs: int, outputs: int) -> tuple[Cost, ...]:
        """What each kernel that may run the layer at these widths would cost."""
        key = shape, inputs, outputs
        if key not in self._known:
            node = resized(layer.node, inputs, outputs)
            found = [
                candidate
                for name in layer.families
                for candidate in families()[name].candidates((node,), self._device)
                if not candidate.persistent_bytes
            ]
            offered = found or admitted_candidates((node,), self._device)
            self._known[key] = tuple(_cost_of(candidate, layer.input_dies) for candidate in offered)
        return self._known[key]

    def _sparse_offers(
        self, layer: ResizableLayer, shape: object, inputs: int, outputs: int, pattern: LayerPattern
    ) -> tuple[Cost, ...]:
        """What each sparse kernel would cost that is fastest or smallest for the layer's pattern at full width."""
        key = shape, inputs, outputs, pattern
        if key not in self._known:
            node = thinned(resized(layer.node, inputs, outputs), pattern)
            self._known[key] = tuple(
                _cost_of(candidate, layer.input_dies)
                for name in self._sparse_families(layer.node, shape, pattern)
                for candidate in families()[name].candidates((node,), self._device)
            )
        return self._known[key]

    def _sparse_families(self, node: Node, shape: object, pattern: LayerPattern) -> tuple[str, ...]:
        key = shape, pattern
        if key not in self._sparse:
            found = [
                one for one in admitted_candidates((thinned(node, pattern),), self._device) if one.density < 1
            ]
            fastest = sorted(found, key=lambda one: one.cycles)[:1]
            smallest = sorted(found, key=lambda one: one.flash_bytes)[:1]
            self._sparse[key] = tuple(dict.fromkeys(one.family for one in fastest + smallest))
        return self._sparse[key]


def _rank(cost: Cost, objective: Objective) -> tuple[int, ...]:
    flash, cycles, scratch, *_ = cost
    values = {"latency": cycles, "ram": scratch, "flash": flash}
    return tuple(values[goal] for goal in objective.priorities)


def _cost_of(candidate: Candidate, input_dies: bool) -> Cost:
    node = candidate.nodes[-1]
    size = node.output.bytes
    distances = input_distances(candidate, {name: name for name in candidate.activation_inputs})
    source = node.inputs[0]
    shared = 0
    if input_dies and source.name in distances:
        shared = size + source.bytes - span_bytes(size, [(source.bytes, distances[source.name])])
    scratch = candidate.scratch_bytes - shared
    macs = operator_for(node).macs(node)
    return (candidate.flash_bytes, candidate.cycles, scratch, macs, parameters_of(node))


def parameters_of(node: Node) -> int:
    """Weights, biases and other constants of a node, in numbers."""
    return sum(tensor.elements for tensor in node.inputs if tensor.value is not None)


def _shape_of(node: Node) -> object:
    """What a kernel's cost depends on: not the numbers of quantisation, which are data to it."""
    attrs = tuple(sorted((key, value) for key, value in node.attrs.items() if key != "clamp"))
    return node.op, attrs, tuple((t.shape, t.dtype) for t in (*node.inputs, *node.outputs))


def _samples(count: int, most: int) -> list[int]:
    """At most so many positions to ask about, the first and the last among them."""
    return sorted({round(position) for position in np.linspace(0, count - 1, min(count, most))})


def _stretched(values: Table, positions: Sequence[int], channels: Sequence[int]) -> Table:
    """`values`, sampled on their last axis at `positions` of `channels`, at all of them."""
    if len(positions) == len(channels):
        return values
    known = [channels[position] for position in positions]
    lines = [np.interp(channels, known, line) for line in values.reshape(-1, len(positions))]
    return np.rint(lines).astype(np.int64).reshape(*values.shape[:-1], len(channels))
