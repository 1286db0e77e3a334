"""Settling widths against builds whose cost the table does not know: no emulator, a formula stands in for it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgeprune.compress.fit import Fitted
from edgeprune.compress.forecast import Forecast
from edgeprune.compress.settle import settle
from edgeprune.compress.subject import Subject
from edgeprune.config import Budget
from edgeprune.costs import CostTable
from edgeprune.errors import OverBudget
from edgeprune.model.model import Model
from edgeprune.progress import SilentProgress
from edgeprune.prune import Calibration, Choice, Resources, analyse, criteria, group_widths, resources
from edgeprune.verdict import Cost
from tests.support.cost_tables import counted
from tests.support.zoo import build

CYCLES_PER_MS = 1000.0


def true_cost(used: Resources) -> Cost:
    """Flash a third more than believed and a constant, RAM a constant more, time half as much again."""
    return Cost(
        used.flash_bytes * 4 // 3 + 200, used.ram_bytes + 64, used.cycles * 1.5 / CYCLES_PER_MS, used.macs, 0
    )


class Bench:
    """A small network whose cuts are "built" by `true_cost` of what its table says about their widths."""

    def __init__(self, tmp_path, pessimism: float = 1.0) -> None:
        module, inputs = build("SqueezeExcite")
        coupling = analyse(module, inputs)
        self.table = counted(module, coupling, group_widths(coupling, multiple=1))
        data = Calibration(((inputs, torch.zeros(1, dtype=torch.int64)),), F.cross_entropy)
        scores = criteria()["magnitude"].score(module, coupling, data)
        curves = {
            name: {width: 1.0 - width / options[-1] for width in options}
            for name, options in self.table.widths.items()
        }
        self.sizes = {group.name: group.slices[0] for group in coupling.groups}
        self.pessimism = pessimism
        self.builds: list[Cost] = []
        self.by_widths: dict[tuple[tuple[str, int], ...], Fitted] = {}
        model = Model("m", tmp_path / "m.py", "torch", module=module, example_inputs=inputs)
        self.subject = Subject(model, coupling, self.table, scores, curves, data, self.build)

    def build(self, cut: Model, budget: Budget, folder: str) -> Fitted:
        assert cut.module is not None
        state = dict(cut.module.named_parameters())
        widths = {name: state[piece.parameter].shape[piece.dim] for name, piece in self.sizes.items()}
        cost = true_cost(resources(self.table, widths))
        cost = Cost(
            *(
                type(value)(value * self.pessimism)
                for value in (cost.flash_bytes, cost.ram_bytes, cost.latency_ms)
            ),
            cost.macs,
            cost.parameters,
        )
        self.builds.append(cost)
        fitted = Fitted(None, cost, cost.fits(budget))  # type: ignore[arg-type]
        self.by_widths[tuple(sorted(widths.items()))] = fitted
        return fitted

    def built(self, choice: Choice) -> Fitted:
        return self.by_widths[tuple(sorted(choice.widths.items()))]

    def settle(self, budget: Budget):
        return settle(self.subject, Forecast(budget, CYCLES_PER_MS), SilentProgress())


def whole(table: CostTable) -> Cost:
    return true_cost(resources(table, {name: options[-1] for name, options in table.widths.items()}))


@pytest.mark.parametrize("share", [0.5, 0.6, 0.8])
@pytest.mark.parametrize("limited", ["flash_bytes", "latency_ms"])
def test_settles_just_under_a_limit_in_a_few_builds(tmp_path, share: float, limited: str) -> None:
    bench = Bench(tmp_path)
    limit = getattr(whole(bench.table), limited) * share
    settled = bench.settle(Budget(**{limited: type(getattr(whole(bench.table), limited))(limit)}))
    assert bench.built(settled.choice).fits
    assert len(bench.builds) <= 5
    assert getattr(bench.built(settled.choice).cost, limited) >= 0.85 * limit


def test_a_pessimistic_table_does_not_cost_channels(tmp_path) -> None:
    bench = Bench(tmp_path, pessimism=0.5)
    limit = int(whole(bench.table).flash_bytes * 0.4)
    settled = bench.settle(Budget(flash_bytes=limit))
    assert bench.built(settled.choice).cost.flash_bytes >= 0.85 * limit


def test_what_the_table_holds_for_impossible_is_built_before_it_is_refused(tmp_path) -> None:
    bench = Bench(tmp_path, pessimism=0.1)
    limit = int(whole(bench.table).flash_bytes * 0.03)
    settled = bench.settle(Budget(flash_bytes=limit))
    assert bench.built(settled.choice).fits


def test_a_refusal_says_what_the_smallest_network_takes(tmp_path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(
        OverBudget, match=r"even the smallest network that pruning leaves needs flash [\d,]+ B of 100 B"
    ) as caught:
        bench.settle(Budget(flash_bytes=100, ram_bytes=1 << 20))
    nearest = caught.value.nearest
    assert nearest is not None
    assert nearest["flash"] == min(cost.flash_bytes for cost in bench.builds)
    assert bench.built(bench.settle(Budget(flash_bytes=int(nearest["flash"]))).choice).fits
