"""Pruning a network until its linked and executed build fits: decide, cut, measure, tighten, then fine-tune.

Sizes and instruction counts hardly depend on what the weights are, so the widths are settled on untrained cuts,
in seconds each; only then is the network trained, and measured once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune.best_case import best_case_costs
from edgeprune.compile import Cost
from edgeprune.config import Budget, Settings
from edgeprune.costs import CostTable
from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.fit import Fitted, over_budget, spent
from edgeprune.graph.skeleton import Skeleton
from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.report import PruningSummary

if TYPE_CHECKING:
    from edgeprune.prune import Choice, Coupling, Limits

__all__ = ["Shrunk", "shrink"]

_ROUNDS = 8
_CRITERION = "magnitude"
_SAFETY = 0.995
"""Share of what a missed limit leaves that the next round aims at, so that rounds converge from below."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The pruned, trained network that fits, and what was done to it."""

    model: Model
    fitted: Fitted
    summary: PruningSummary


def shrink(
    model: Model,
    unpruned: Fitted,
    device: Device,
    budget: Budget,
    settings: Settings,
    fit: Callable[[Model, str], Fitted],
    progress: Progress,
) -> Shrunk:
    """Cut channels of `model` until `fit` says that the budget holds, and train what is left.

    Raises:
        OverBudget: no widths fit; the sentence names what binds, `nearest` what would fit.
    """
    from edgeprune.prune import analyse, group_widths, weighted_layers
    from edgeprune.train import DEFAULT_STEPS, fine_tune

    assert model.module is not None
    with progress.task("finding coupled channels"):
        coupling = analyse(model.module, model.example_inputs, settings.ignore)
    if not coupling.groups:
        raise over_budget(unpruned, budget, "none of its channels can be pruned")
    widths = group_widths(coupling, minimum=settings.minimum)
    skeleton = Skeleton(unpruned.build.whole, weighted_layers(coupling), widths)
    table = best_case_costs(skeleton, device, unpruned)
    cut = _settle(model, coupling, table, device, budget, settings, fit, progress)
    if not settings.train:
        return Shrunk(cut.model, cut.fitted, _summary(coupling, cut, 0, unpruned))
    steps = DEFAULT_STEPS if settings.effort is None else settings.effort
    assert cut.model.module is not None
    trained = fine_tune(
        cut.model, cut.model.module, steps, seed=settings.seed, teacher=model.module, progress=progress
    )
    tuned = replace(cut.model, module=trained)
    fitted = fit(tuned, "trained")
    if not fitted.fits:
        raise over_budget(
            fitted, budget, "training moved the network over the budget again: leave it more room"
        )
    return Shrunk(tuned, fitted, _summary(coupling, cut, steps, unpruned))


@dataclass(frozen=True, eq=False)
class _Cut:
    """An untrained cut that fits."""

    model: Model
    fitted: Fitted
    widths: Mapping[str, int]
    rounds: int


def _settle(
    model: Model,
    coupling: Coupling,
    table: CostTable,
    device: Device,
    budget: Budget,
    settings: Settings,
    fit: Callable[[Model, str], Fitted],
    progress: Progress,
) -> _Cut:
    """Choose widths, cut, link and run, and tighten what was missed, until the measurement fits."""
    from edgeprune.prune import best, choose, criteria, gather, measure, prune, recalibrate

    assert model.module is not None
    assert model.training is not None
    data = gather(model, seed=settings.seed)
    with progress.task("ranking channels"):
        scores = criteria()[_CRITERION].score(model.module, coupling, data)
    curves = measure(model.module, coupling, scores, table.widths, data, progress)
    limits = _limits(budget, device)
    last: Fitted | None = None
    for number in range(1, _ROUNDS + 1):
        choice = _chosen(lambda: choose(curves, table, limits), table, device)  # noqa: B023 - called at once
        module = prune(model.module, coupling, best(scores, choice.widths))
        recalibrate(module, data.batches)
        cut = replace(model, module=module)
        last = fit(cut, f"round_{number}")
        if last.fits:
            return _Cut(cut, last, choice.widths, number)
        progress.say(f"round {number}: {_text(last.cost)} misses the budget; tightening")
        limits = _tightened(limits, choice, last.cost, budget, device)
    assert last is not None
    raise over_budget(last, budget, f"{_ROUNDS} rounds of pruning did not reach it")


def _chosen(choose: Callable[[], Choice], table: CostTable, device: Device) -> Choice:
    """The solver's choice; its refusal carries the nearest network's cost into the report."""
    from edgeprune.prune import NothingFits

    try:
        return choose()
    except NothingFits as error:
        nearest = error.infeasible.nearest
        found: dict[str, float] = {"flash": nearest.flash_bytes, "ram": nearest.ram_bytes}
        if device.emulator is not None:
            found["latency_ms"] = nearest.cycles / table.cycles_per_ms
        raise OverBudget(str(error), found) from error


def _limits(budget: Budget, device: Device) -> Limits:
    from edgeprune.prune import Limits

    cycles = None if budget.latency_ms is None else int(budget.latency_ms * device.clock_hz / 1000)
    return Limits(budget.flash_bytes, budget.ram_bytes, cycles if device.emulator is not None else None)


def _tightened(limits: Limits, choice: Choice, cost: Cost, budget: Budget, device: Device) -> Limits:
    """Lower each missed limit by what it was missed by, from what the table believed the choice takes."""
    believed = choice.resources
    flash, ram, cycles = limits.flash_bytes, limits.ram_bytes, limits.cycles
    if flash is not None and budget.flash_bytes is not None and cost.flash_bytes > budget.flash_bytes:
        flash = min(flash, int(believed.flash_bytes * _SAFETY * budget.flash_bytes / cost.flash_bytes))
    if ram is not None and budget.ram_bytes is not None and cost.ram_bytes > budget.ram_bytes:
        ram = min(ram, believed.ram_bytes - (cost.ram_bytes - budget.ram_bytes))
    if cycles is not None and budget.latency_ms is not None and (cost.latency_ms or 0) > budget.latency_ms:
        assert cost.latency_ms is not None
        cycles = min(cycles, int(believed.cycles * _SAFETY * budget.latency_ms / cost.latency_ms))
    return replace(limits, flash_bytes=flash, ram_bytes=ram, cycles=cycles)


def _summary(coupling: Coupling, cut: _Cut, steps: int, unpruned: Fitted) -> PruningSummary:
    groups = tuple(
        (group.name, group.size, cut.widths.get(group.name, group.size)) for group in coupling.groups
    )
    return PruningSummary(groups, 0, coupling.frozen, cut.rounds, steps, _CRITERION, spent(unpruned.cost))


def _text(cost: Cost) -> str:
    latency = "" if cost.latency_ms is None else f", {cost.latency_ms:.2f} ms"
    return f"flash {cost.flash_bytes:,} B, RAM {cost.ram_bytes:,} B{latency}"
