"""Pruning a network until its linked and executed build fits: widths settled on untrained cuts, then training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeprune.best_case import best_case_costs
from edgeprune.builder import Builder
from edgeprune.checkpoints import Checkpoints
from edgeprune.config import Budget, Settings
from edgeprune.fit import Fitted, over_budget
from edgeprune.forecast import Forecast
from edgeprune.graph.skeleton import Skeleton
from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.prune import Coupling, analyse, best, criteria, gather, group_widths, measure, weighted_layers
from edgeprune.report import PruningSummary
from edgeprune.settle import Settled, Subject, settle
from edgeprune.train import DEFAULT_STEPS, fine_tune
from edgeprune.verdict import spent

__all__ = ["Shrunk", "shrink"]

_CRITERION = "magnitude"
_TRAININGS = 3
"""Training moves values, and with them channels that turn out constant and the weights that kernels admit."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The pruned, trained network that fits, and what was done to it."""

    model: Model
    fitted: Fitted
    summary: PruningSummary


def shrink(
    model: Model,
    whole: Fitted,
    budget: Budget,
    builder: Builder,
    settings: Settings,
    kept: Checkpoints,
    progress: Progress,
) -> Shrunk:
    """Cut channels of `model` until the budget holds as measured, and train what is left.

    Args:
        model: The network, from a recipe.
        whole: What it takes whole; more than the budget.
        budget: The limits.
        builder: Builds networks.
        settings: How to prune and train.
        kept: What an earlier run of the same settings finished.
        progress: Told of every round.

    Raises:
        OverBudget: no widths fit; the sentence names what binds, `nearest` what would fit.
    """
    with progress.task("finding coupled channels"):
        assert model.module is not None
        coupling = analyse(model.module, model.example_inputs, settings.ignore)
    if not coupling.groups:
        raise over_budget(whole, budget, "none of its channels can be pruned")
    subject = _subject(model, coupling, whole, builder, settings, progress)
    limits = budget if whole.cost.latency_ms is not None else replace(budget, latency_ms=None)
    forecast, rounds = Forecast(limits, subject.table.cycles_per_ms), 0
    for number in range(_TRAININGS):
        settled = settle(subject, forecast, progress)
        rounds += settled.rounds
        tuned, steps = _trained(settled, model, settings, progress)
        fitted = builder.fit(tuned, budget, f"trained_{number}")
        if fitted.fits and fitted.cost.fits(budget):
            return Shrunk(tuned, fitted, _summary(subject, settled, rounds, steps, whole, settings))
        progress.say("training moved the network over the budget again; cutting more")
        forecast = settled.forecast.after(settled.trial.choice.resources, fitted.cost)
    raise over_budget(
        fitted, budget, f"training moved it over the budget {_TRAININGS} times: leave it more room"
    )


def _subject(
    model: Model,
    coupling: Coupling,
    whole: Fitted,
    builder: Builder,
    settings: Settings,
    progress: Progress,
) -> Subject:
    """The network with what its channels cost and are worth."""
    assert model.module is not None
    widths = group_widths(coupling, minimum=settings.minimum)
    with progress.task("pricing widths"):
        skeleton = Skeleton(whole.build.whole, weighted_layers(coupling), widths)
        table = best_case_costs(skeleton, builder.device, whole)
    data = gather(model, seed=settings.seed)
    with progress.task("ranking channels"):
        scores = criteria()[_CRITERION].score(model.module, coupling, data)
    curves = measure(model.module, coupling, scores, table.widths, data, progress)
    return Subject(model, coupling, table, scores, curves, data, builder.draft)


def _trained(settled: Settled, model: Model, settings: Settings, progress: Progress) -> tuple[Model, int]:
    """The settled cut after training, and how many steps that took."""
    cut = settled.trial.model
    if not settings.train:
        return cut, 0
    steps = DEFAULT_STEPS if settings.effort is None else settings.effort
    assert cut.module is not None
    module = fine_tune(cut, cut.module, steps, seed=settings.seed, teacher=model.module, progress=progress)
    return replace(cut, module=module), steps


def _summary(
    subject: Subject, settled: Settled, rounds: int, steps: int, whole: Fitted, settings: Settings
) -> PruningSummary:
    coupling, widths = subject.coupling, settled.trial.choice.widths
    return PruningSummary(
        groups=tuple(
            (group.name, group.size, widths.get(group.name, group.size)) for group in coupling.groups
        ),
        frozen=coupling.frozen,
        rounds=rounds,
        steps=steps,
        criterion=_CRITERION,
        unpruned=spent(whole.cost),
        kept=best(subject.scores, widths).keep,
        ignored=settings.ignore,
    )
