"""The cost table the budget loop decides by: every resource at its best, corrected by what was measured.

A plan spends RAM to save time where the budget lets it, so no single choice of kernels tells what widths can fit.
The table therefore takes cycles from the fastest kernels, memory from the leanest plan, layers that run row by row
included, and flash from the smallest. It is an estimate: memory is that of the plan which is leanest with all channels,
and narrower layers may have a leaner one. So widths are built and measured, those that it refuses as well: what they
miss tightens the limits, and what they leave loosens them (`forecast`, `settle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.compress.fit import Fitted
from edgeprune.costs import CostTable, LayerCost
from edgeprune.device import Device
from edgeprune.graph.skeleton import Skeleton
from edgeprune.patterns import PatternMenu
from edgeprune.plan import KernelCosts, Objective, costs, leanest_rows

__all__ = ["best_case_costs"]


def best_case_costs(
    skeleton: Skeleton, device: Device, unpruned: Fitted, menus: Sequence[PatternMenu] = ()
) -> CostTable:
    """The table of `skeleton`'s network, shifted by how the whole network's build differed from its estimates.

    Estimates count code that layers share once for each layer, and leave out context and stack; both hardly
    change with the widths. Estimated cycles are scaled. `menus` are patterns that layers may take.
    """
    kernels = KernelCosts(device)
    fast, lean, small = (
        costs(skeleton, device, Objective(goal), kernels, menus) for goal in ("latency", "ram", "flash")
    )
    by_goal = [{_key(layer): layer for layer in table.layers} for table in (fast, small)]
    program, cost = unpruned.build.program, unpruned.cost
    estimated_flash = sum(step.candidate.flash_bytes for step in program.steps)
    estimated_cycles = sum(step.candidate.cycles for step in program.steps)
    ratio = 1.0
    if cost.latency_ms is not None and estimated_cycles:
        ratio = cost.latency_ms * device.clock_hz / 1000 / estimated_cycles
    layers = tuple(
        _best(layer, by_goal[0][_key(layer)], by_goal[1][_key(layer)], ratio) for layer in lean.layers
    )
    streamed = leanest_rows(skeleton, device)
    whole = {name: choices[-1] for name, choices in lean.widths.items()}
    rows = min(lean, replace(lean, rows=streamed), key=lambda table: table.ram_bytes(whole)).rows
    return replace(
        lean,
        layers=layers,
        rows=rows,
        fixed_flash_bytes=small.fixed_flash_bytes + cost.flash_bytes - estimated_flash,
        fixed_ram_bytes=lean.fixed_ram_bytes + cost.ram_bytes - program.arena_bytes,
        fixed_cycles=round(fast.fixed_cycles * ratio),
        memory_is_estimated=True,
    )


def _key(layer: LayerCost) -> tuple[str, str | None, str | None, tuple[str, int] | None]:
    return layer.name, layer.group_in, layer.group_out, layer.option


def _best(lean: LayerCost, fast: LayerCost, small: LayerCost, ratio: float) -> LayerCost:
    cycles = tuple(tuple(round(entry * ratio) for entry in row) for row in fast.cycles)
    return replace(lean, cycles=cycles, flash_bytes=small.flash_bytes)
