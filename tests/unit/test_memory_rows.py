"""Memory rows of the leanest plan: exact with all channels, close with fewer, and what pruning makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeprune.device import load_device
from edgeprune.graph.skeleton import Skeleton
from edgeprune.plan import Objective, costs, leanest_rows, plan
from edgeprune.plan.stage_types import StageCandidate
from edgeprune.prune import Curves, Limits, choose
from tests.unit.test_plan_costs import full, residual

DEVICE = load_device("nucleo-f446re")
LEAN = Objective("ram", ram_exchange=0)


def streamed(skeleton: Skeleton):
    return replace(costs(skeleton, DEVICE, Objective("ram")), rows=leanest_rows(skeleton, DEVICE))


def test_the_highest_row_is_what_the_leanest_plan_needs() -> None:
    skeleton = residual()
    program = plan(skeleton.graph, DEVICE, LEAN)
    assert any(isinstance(step.candidate, StageCandidate) for step in program.steps)
    table = streamed(skeleton)
    assert len(table.rows) == len(program.steps)
    assert 0.95 * program.arena_bytes - 8 <= table.ram_bytes(full(skeleton)) <= program.arena_bytes


@pytest.mark.parametrize("half", [(8, 16)])
def test_with_fewer_channels_it_is_near_what_a_plan_for_them_needs(half: tuple[int, int]) -> None:
    narrow = plan(residual(stages=half).graph, DEVICE, LEAN)
    widths = dict(zip(("s0", "s1"), half, strict=True)) | dict(zip(("b0_0", "b1_0"), half, strict=True))
    assert streamed(residual()).ram_bytes(widths) == pytest.approx(narrow.arena_bytes, rel=0.2)


def test_fewer_channels_go_because_rows_made_room() -> None:
    """In RAM that layers one by one exceed by a third, all channels stay; without rows some would go."""
    skeleton = residual()
    apart, rows = costs(skeleton, DEVICE, Objective("ram")), streamed(skeleton)
    limits = Limits(ram_bytes=apart.ram_bytes(full(skeleton)) * 3 // 4)
    curves: Curves = {
        group: {width: 1.0 - width / options[-1] for width in options}
        for group, options in skeleton.widths.items()
    }
    assert choose(curves, rows, limits).widths == full(skeleton)
    assert sum(choose(curves, apart, limits).widths.values()) < sum(full(skeleton).values())
    with_all = plan(skeleton.graph, DEVICE, Objective(ram_bytes=limits.ram_bytes))
    assert with_all.arena_bytes <= limits.ram_bytes
