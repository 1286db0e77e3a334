"""`CostTable`: what a network costs at every choice of channel widths, as one plain value.

It is made by `plan.costs` from the kernels that will run, and read by `prune`'s solver, which thereby never
needs to know a kernel. Widths are numbers of channels a group keeps. A group's widths are listed once, in
`CostTable.widths`; every table is indexed by positions in those lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

__all__ = ["CostTable", "LayerCost", "MemoryRow"]

_Table: TypeAlias = tuple[tuple[int, ...], ...]

_NOISE = 1e-6
"""Parts of a byte count as one, unless they come from adding floating-point numbers."""


@dataclass(frozen=True)
class LayerCost:
    """Flash, cycles, scratch, multiply-accumulates and parameters of one layer for each pair of widths.

    `group_in` and `group_out` name the groups its input and output channels belong to, or None where that
    side cannot be pruned (then its table has one row or column). Entries are bytes, cycles, bytes, products and
    numbers (weights and biases), indexed [position of the width in][position of the width out]; when both
    groups are the same, only the diagonal counts. Layers of one name are parts of one step: their costs add up.
    What a step saves by overwriting its input is taken off its scratch, which may therefore be negative.

    With an `option`, a group and one of its widths, the layer counts only where the group has that width: of several
    ways to run a layer, as with all its weights or with some of them zero, each is a layer of its own.
    """

    name: str
    group_in: str | None
    group_out: str | None
    flash_bytes: tuple[tuple[int, ...], ...]
    cycles: tuple[tuple[int, ...], ...]
    scratch_bytes: tuple[tuple[int, ...], ...]
    macs: tuple[tuple[int, ...], ...]
    parameters: tuple[tuple[int, ...], ...]
    option: tuple[str, int] | None = None


@dataclass(frozen=True)
class MemoryRow:
    """Bytes alive at one step: fixed_bytes + sum over groups of bytes_per_channel * width + the layer's scratch."""

    step: str
    fixed_bytes: int
    bytes_per_channel: Mapping[str, float]
    layer: str | None
    alive: tuple[str, ...] = ()
    """What is alive, for the sentence that explains an infeasible budget; with its size where no width changes it."""


@dataclass(frozen=True)
class CostTable:
    """The whole network's costs; totals are the fixed parts plus the sum over layers."""

    widths: Mapping[str, tuple[int, ...]]
    layers: tuple[LayerCost, ...]
    rows: tuple[MemoryRow, ...]
    fixed_flash_bytes: int = 0
    fixed_ram_bytes: int = 0
    fixed_cycles: int = 0
    cycles_per_ms: float = 1.0
    memory_is_estimated: bool = False
    """Whether a plan may need less memory than the rows say: then no limit on it is proven to be out of reach."""

    @property
    def options(self) -> tuple[str, ...]:
        """The groups that are options of layers, not channels."""
        return tuple(dict.fromkeys(layer.option[0] for layer in self.layers if layer.option))

    def flash_bytes(self, widths: Mapping[str, int]) -> int:
        """Flash of the network at `widths`."""
        return self.fixed_flash_bytes + sum(
            self._entry(layer, layer.flash_bytes, widths) for layer in self.layers
        )

    def cycles(self, widths: Mapping[str, int]) -> int:
        """Cycles of one inference at `widths`."""
        return self.fixed_cycles + sum(self._entry(layer, layer.cycles, widths) for layer in self.layers)

    def macs(self, widths: Mapping[str, int]) -> int:
        """Multiply-accumulates of one inference at `widths`."""
        return sum(self._entry(layer, layer.macs, widths) for layer in self.layers)

    def parameters(self, widths: Mapping[str, int]) -> int:
        """Weights and biases of the network at `widths`."""
        return sum(self._entry(layer, layer.parameters, widths) for layer in self.layers)

    def row_bytes(self, row: MemoryRow, widths: Mapping[str, int]) -> int:
        """Bytes alive at `row` at `widths`, scratch included."""
        scratch = sum(
            self._entry(lay, lay.scratch_bytes, widths) for lay in self.layers if lay.name == row.layer
        )
        activations = sum(per * widths[group] for group, per in row.bytes_per_channel.items())
        return self.fixed_ram_bytes + row.fixed_bytes + math.ceil(activations - _NOISE) + scratch

    def ram_bytes(self, widths: Mapping[str, int]) -> int:
        """Peak RAM at `widths`."""
        return max((self.row_bytes(row, widths) for row in self.rows), default=self.fixed_ram_bytes)

    def restricted(self, most: Mapping[str, int]) -> CostTable:
        """The table for a network that was pruned to the widths `most`: wider ones are gone.

        A group that `most` does not name keeps all its widths; its own width must be one of them.
        """
        kept = {
            name: tuple(width for width in options if width <= most.get(name, width))
            for name, options in self.widths.items()
        }

        def part(layer: LayerCost, table: _Table) -> _Table:
            rows = len(kept[layer.group_in]) if layer.group_in else len(table)
            columns = len(kept[layer.group_out]) if layer.group_out else None
            return tuple(row[:columns] for row in table[:rows])

        layers = tuple(
            replace(
                layer,
                flash_bytes=part(layer, layer.flash_bytes),
                cycles=part(layer, layer.cycles),
                scratch_bytes=part(layer, layer.scratch_bytes),
                macs=part(layer, layer.macs),
                parameters=part(layer, layer.parameters),
            )
            for layer in self.layers
            if layer.option is None or layer.option[1] in kept[layer.option[0]]
        )
        return replace(self, widths=kept, layers=layers)

    def without_options(self) -> CostTable:
        """The table of layers as they are where every option has its last width; only channels are left to choose."""
        names = self.options
        layers = tuple(
            replace(layer, option=None)
            for layer in self.layers
            if layer.option is None or layer.option[1] == self.widths[layer.option[0]][-1]
        )
        widths = {name: options for name, options in self.widths.items() if name not in names}
        return replace(self, widths=widths, layers=layers)

    def _entry(self, layer: LayerCost, table: tuple[tuple[int, ...], ...], widths: Mapping[str, int]) -> int:
        if layer.option is not None and widths[layer.option[0]] != layer.option[1]:
            return 0
        row = self.widths[layer.group_in].index(widths[layer.group_in]) if layer.group_in else 0
        column = self.widths[layer.group_out].index(widths[layer.group_out]) if layer.group_out else 0
        return table[row][column]
