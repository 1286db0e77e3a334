"""Memory rows of the leanest plan: what each of its steps needs at every choice of channel widths, stages included.

A row is linear in the widths: the activations alive at the step, and for a stage the rows that it holds of the tensors
between its layers. What the step needs besides (its kernels' scratch) or less (rows that take turns in their bytes, and
an output over its input) is spread over all of that, so that the row is exact with all channels and shrinks with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from edgeprune.costs import MemoryRow
from edgeprune.device import Device
from edgeprune.graph.ir import DTYPES, Tensor
from edgeprune.graph.skeleton import Skeleton
from edgeprune.plan.choose import Option
from edgeprune.plan.labels import Labels, group_sizes, label_activations
from edgeprune.plan.planner import leanest
from edgeprune.plan.schedule import Schedule
from edgeprune.plan.stage_types import StageCandidate

__all__ = ["leanest_rows"]


def leanest_rows(skeleton: Skeleton, device: Device) -> tuple[MemoryRow, ...]:
    """A row for each step of the plan with the smallest arena for the skeleton's network on `device`.

    Raises:
        UsageError: no kernel runs a node, or an output of the graph is a constant.
    """
    table, chosen = leanest(skeleton.graph, device)
    labels = label_activations(skeleton)
    return tuple(_row(table, step, option, skeleton, labels) for step, option in enumerate(chosen))


def _row(
    table: Schedule, step: int, option: Option, skeleton: Skeleton, labels: Mapping[str, Labels]
) -> MemoryRow:
    tensors = {tensor.name: tensor for tensor in table.graph.tensors()}
    shares: list[tuple[Tensor, float]] = [(tensors[storage.name], 1.0) for storage in table.alive(step)]
    if isinstance(option.candidate, StageCandidate):
        lines = (option.candidate.lines or {}).values()
        shares += [(line.tensor, line.held_rows / len(line.offsets)) for line in lines]
    fixed, per_group, phrases = 0.0, Counter[str](), list[str]()
    for tensor, share in shares:
        counts = group_sizes(labels[tensor.name], skeleton)
        itemsize = DTYPES[tensor.dtype].itemsize
        for group, count in counts.items():
            per_group[group] += share * count * itemsize  # type: ignore[assignment]
        fixed += share * (tensor.bytes - sum(counts.values()) * itemsize)
        part = "" if share == 1 else "rows of "
        phrases.append(
            f"{part}{tensor.name}" if counts else f"{part}{tensor.name} {round(share * tensor.bytes):,} B"
        )
    whole = fixed + sum(per_group.values())
    scale = option.need_bytes / whole if whole else 0.0
    return MemoryRow(
        step=table.steps[step][-1].name,
        fixed_bytes=int(scale * fixed),
        bytes_per_channel={
            group: scale * count / skeleton.widths[group][-1] for group, count in per_group.items()
        },
        layer=None,
        alive=tuple(phrases),
    )
