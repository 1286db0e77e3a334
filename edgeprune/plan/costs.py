"""`costs`: what a network costs at every choice of channel widths, from the kernels that would run it.

Order and lifetimes are those of the unpruned network, with a step for every node: what the plan may save by fusing two
comes on top. An activation's bytes are linear in the widths of the groups its elements belong to. A weighted layer is
costed by asking the kernel families about it with the channels it would have; everything else scales with the
elements it computes.

The memory a step's kernel saves by overwriting its input depends on both widths, so it is counted in the
layer's scratch, which may therefore be negative: rows stay linear, and exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeprune.costs import CostTable, LayerCost, MemoryRow
from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Node
from edgeprune.graph.skeleton import Skeleton
from edgeprune.ops import operator_for
from edgeprune.patterns import PatternMenu
from edgeprune.plan.choose import Option
from edgeprune.plan.labels import WEIGHTED, Labels, group_sizes, label_activations
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.objective import Objective
from edgeprune.plan.sampling import Cost, KernelCosts, ResizableLayer, Table, parameters_of
from edgeprune.plan.schedule import Schedule, schedule
from edgeprune.plan.thinned import can_be_thinned

__all__ = ["costs"]

Widths = Mapping[str, tuple[int, ...]]


def costs(
    skeleton: Skeleton,
    device: Device,
    objective: Objective,
    kernels: KernelCosts | None = None,
    menus: Sequence[PatternMenu] = (),
) -> CostTable:
    """The costs of the skeleton's network on `device`, when every layer runs the best kernel by `objective`.

    Budgets of `objective` are ignored, and every step takes its own best candidate, its constants in flash. With
    all channels kept, flash, cycles and MACs are the sums over the plan without budgets, but for what it saves by
    copies of constants (and unless it optimizes "ram", which spends on a small step what a large one needs anyway),
    and the highest row is the largest step's need.

    Args:
        skeleton: The network with all channels, and the widths of its groups.
        device: What it is to run on.
        objective: Which candidate of a step is the best.
        kernels: Of the same device; spares what another table has asked for already.
        menus: Patterns of zeros that layers may take. Each becomes an option of the layer that it names: a cost for
            every pattern, and its group among `CostTable.widths`. Those of layers that no pattern can thin, or whose
            cost comes in parts, are left out.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
    """
    free = Objective(objective.optimize)
    table = schedule(skeleton.graph, device, free)
    chosen = [min(options, key=lambda option: option.rank(free)) for options in table.options]
    labels = label_activations(skeleton)
    names = _unique_names([nodes[-1].name for nodes in table.steps])
    kernels = kernels or KernelCosts(device)
    layers: list[LayerCost] = []
    rows: list[MemoryRow] = []
    for index, (name, option) in enumerate(zip(names, chosen, strict=True)):
        step = _Step(table, index, option)
        dense = _layer_costs(name, step, skeleton, labels, kernels, free)
        menu = next((one for one in menus if one.layer == step.node.name), None)
        offered = menu is not None and len(dense) == 1 and can_be_thinned(step.node)
        layers += _with_patterns(dense[0], step, skeleton, kernels, free, menu) if menu and offered else dense
        rows.append(_row(name, table.alive(index), skeleton, labels, table))
    options = {layer.option[0] for layer in layers if layer.option}
    return CostTable(
        widths={**skeleton.widths, **{menu.group: menu.widths for menu in menus if menu.group in options}},
        layers=tuple(layers),
        rows=tuple(rows),
        cycles_per_ms=device.clock_hz / 1000,
    )


@dataclass(frozen=True, eq=False)
class _Step:
    """One step of the unpruned plan."""

    table: Schedule
    index: int
    option: Option

    @property
    def node(self) -> Node:
        return self.table.steps[self.index][-1]

    @property
    def cost(self) -> Cost:
        """Flash, cycles, scratch less what input and output share, MACs and parameters."""
        candidate, node = self.option.candidate, self.node
        alive = sum(storage.size_bytes for storage in self.table.alive(self.index))
        scratch = self.option.need_bytes - alive
        macs = operator_for(node).macs(node)
        return (candidate.flash_bytes, candidate.cycles, scratch, macs, parameters_of(node))

    @property
    def families(self) -> tuple[str, ...]:
        """The kernel families that run the step, each once."""
        options = self.table.options[self.index]
        return tuple(dict.fromkeys(option.candidate.family for option in options))

    @property
    def input_dies(self) -> bool:
        """Whether the first input's bytes may be reused by this step."""
        holder = self.table.owner.get(self.node.inputs[0].name)
        return any(s.dies_at(self.index) for s in self.table.alive(self.index) if s.name == holder)


def _layer_costs(
    name: str,
    step: _Step,
    skeleton: Skeleton,
    labels: Mapping[str, Labels],
    kernels: KernelCosts,
    objective: Objective,
) -> list[LayerCost]:
    if step.node.op in WEIGHTED and step.node.name in skeleton.layers:
        return _weighted(name, step, skeleton, kernels, objective)
    counts = group_sizes(labels[step.node.output.name], skeleton)
    return _linear(name, step.cost, counts, step.node.output.elements, skeleton.widths)


def _linear(
    name: str, cost: Cost, counts: Mapping[str, int], elements: int, widths: Widths
) -> list[LayerCost]:
    """A layer whose cycles, shared bytes, MACs and parameters go with its elements; code and scratch do not."""
    flash, cycles, scratch, macs, parameters = cost
    shared, constant = min(scratch, 0), max(scratch, 0)
    found, before = [], 0
    for group, count in counts.items():
        full, size = widths[group][-1], len(widths[group])
        tables = np.zeros((5, size, size), np.int64)
        for position, width in enumerate(widths[group]):
            for column, total in ((1, cycles), (2, shared), (3, macs), (4, parameters)):
                part = _part(total, before, before + count, elements)
                tables[column, position, position] = round(part * width / full)
        before += count
        found.append(_as_layer(name, group, group, tables))
    rest = [
        flash,
        *(_part(total, before, elements, elements) for total in (cycles, shared, macs, parameters)),
    ]
    rest[2] += constant
    if any(rest):
        found.append(_as_layer(name, None, None, np.array(rest, np.int64).reshape(5, 1, 1)))
    return found


def _weighted(
    name: str, step: _Step, skeleton: Skeleton, kernels: KernelCosts, objective: Objective
) -> list[LayerCost]:
    """One table per pair of an input and an output group.

    With several groups on a side, each table assumes that the others keep the same share of their channels,
    and holds its group's part of the whole: exact where costs are affine in the channels.
    """
    node, widths = step.node, skeleton.widths
    ins, outs = _sides(node, skeleton)
    pairs = _pairs(node, ins, outs)
    weight = sum(share for _, _, share in pairs)
    found, before = [], 0
    for group_in, group_out, share in pairs:
        in_channels = _channels(node.inputs[0].shape[-1], ins, group_in, widths)
        out_channels = _channels(node.output.shape[-1], outs, group_out, widths)
        coupled = group_in is not None and group_in == group_out
        layer = ResizableLayer(node, step.families, step.input_dies, coupled)
        whole = kernels.table(layer, in_channels, out_channels, objective)
        whole[:, -1, -1] = step.cost
        if weight > share:
            whole = _part_of(whole, before, before + share, weight)
        before += share
        found.append(_as_layer(name, group_in, group_out, whole))
    return found


def _with_patterns(
    dense: LayerCost,
    step: _Step,
    skeleton: Skeleton,
    kernels: KernelCosts,
    objective: Objective,
    menu: PatternMenu,
) -> list[LayerCost]:
    """The layer as it is, which is the last option of `menu`, and with each of its patterns."""
    node, widths = step.node, skeleton.widths
    group_in, group_out = dense.group_in, dense.group_out
    ins, outs = _sides(node, skeleton)
    in_channels = _channels(node.inputs[0].shape[-1], ins, group_in, widths)
    out_channels = _channels(node.output.shape[-1], outs, group_out, widths)
    coupled = group_in is not None and group_in == group_out
    layer = ResizableLayer(node, step.families, step.input_dies, coupled)
    found = []
    for position, pattern in zip(menu.widths, menu.patterns, strict=False):
        tables = kernels.table(layer, in_channels, out_channels, objective, pattern)
        part = _as_layer(dense.name, group_in, group_out, tables)
        found.append(replace(part, option=(menu.group, position)))
    return [*found, replace(dense, option=(menu.group, menu.widths[-1]))]


def _sides(node: Node, skeleton: Skeleton) -> tuple[dict[str, int], dict[str, int]]:
    """Input and output channels of a weighted layer, by group."""
    groups = skeleton.layers[node.name]
    ins = _channel_counts(groups.inputs, node.inputs[0].shape[-1], skeleton.widths)
    return ins, _channel_counts(groups.outputs, node.output.shape[-1], skeleton.widths)


def _pairs(
    node: Node, ins: Mapping[str, int], outs: Mapping[str, int]
) -> list[tuple[str | None, str | None, int]]:
    """(input group, output group, share of the layer), over all pairs that meet in the layer."""
    if "group" in node.attrs and node.int("group") > 1 and ins.keys() == outs.keys() and ins:
        return [(group, group, count) for group, count in outs.items()]
    return [(g, h, m * n) for g, m in _or_frozen(ins) for h, n in _or_frozen(outs)]


def _or_frozen(counts: Mapping[str, int]) -> tuple[tuple[str | None, int], ...]:
    return tuple(counts.items()) or ((None, 1),)


def _channel_counts(channels: Sequence[str | None], total: int, widths: Widths) -> dict[str, int]:
    """Channels of each group, scaled to the IR's own number of channels where a layer sees flattened images."""
    found = Counter(group for group in channels if group is not None and group in widths)
    return {group: count * total // len(channels) for group, count in found.items()}


def _channels(total: int, counts: Mapping[str, int], group: str | None, widths: Widths) -> list[int]:
    """Channels of the whole layer at each width of `group`, other groups keeping the same share."""
    if group is None:
        return [total]
    free = sum(counts.values())
    return [max(total - free + round(free * width / widths[group][-1]), 1) for width in widths[group]]


def _part_of(whole: Table, start: int, end: int, total: int) -> Table:
    """The part from `start` to `end` of `total`, so rounded that the parts of a number add up to it."""
    return np.floor_divide(whole * end, total) - np.floor_divide(whole * start, total)


def _part(number: int, start: int, end: int, total: int) -> int:
    return number * end // total - number * start // total


def _as_layer(name: str, group_in: str | None, group_out: str | None, tables: Table) -> LayerCost:
    flash, cycles, scratch, macs, parameters = (tuple(map(tuple, table.tolist())) for table in tables)
    return LayerCost(name, group_in, group_out, flash, cycles, scratch, macs, parameters)


def _row(
    name: str,
    alive: Sequence[Storage],
    skeleton: Skeleton,
    labels: Mapping[str, Labels],
    table: Schedule,
) -> MemoryRow:
    itemsizes = {tensor.name: DTYPES[tensor.dtype].itemsize for tensor in table.graph.tensors()}
    fixed, per_channel, phrases = 0, Counter[str](), list[str]()
    for storage in alive:
        counts = group_sizes(labels[storage.name], skeleton)
        phrases.append(storage.name if counts else f"{storage.name} {storage.size_bytes:,} B")
        for group, count in counts.items():
            per_channel[group] += count * itemsizes[storage.name]
        fixed += storage.size_bytes - sum(counts.values()) * itemsizes[storage.name]
    return MemoryRow(
        step=name,
        fixed_bytes=fixed,
        bytes_per_channel={group: count / skeleton.widths[group][-1] for group, count in per_channel.items()},
        layer=name,
        alive=tuple(phrases),
    )


def _unique_names(names: Sequence[str]) -> list[str]:
    """Names that rows can refer to layers by: repeated ones are numbered."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
