"""Pruning a network until its linked and executed build fits: widths settled on untrained cuts, then training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from edgeprune.compress.approach import approach
from edgeprune.compress.best_case import best_case_costs
from edgeprune.compress.fit import Fitted, over_budget
from edgeprune.compress.forecast import Forecast
from edgeprune.compress.job import Job
from edgeprune.compress.menus import pattern_menus
from edgeprune.compress.recover import JUDGED_SAMPLES, Recovered, recover, training_steps
from edgeprune.compress.settle import Settled, settle
from edgeprune.compress.subject import Subject, carve, carve_well, patterns_of
from edgeprune.compress.within_drop import TRIALS, Within, within
from edgeprune.config import Budget, Settings
from edgeprune.errors import OverBudget
from edgeprune.graph.skeleton import Skeleton
from edgeprune.model.model import Model
from edgeprune.prune import (
    Choice,
    Coupling,
    Criterion,
    Limits,
    Resources,
    analyse,
    channel_worth,
    choice_at,
    choose_jointly,
    criterion_named,
    gather,
    group_widths,
    pattern_curves,
    weighted_layers,
)
from edgeprune.quantize import int8_score
from edgeprune.report.pruning import RoundSummary
from edgeprune.rounds import may_take_rounds
from edgeprune.train import evaluate
from edgeprune.train.points import points_lost
from edgeprune.verdict import Cost

__all__ = ["Shrunk", "shrink", "subject_of"]

_CRITERION = "obs"
_ROUNDS = 1
"""A corrected cut to the budget at once was measured to be as good as several smaller ones, and takes less time."""
_ROUND_SHARE = 0.1
"""Of the training steps, what each round but the last is given; half of them at least are left for the last."""
_TRAININGS = 3
"""Training moves values, and with them channels that turn out constant and the weights that kernels admit."""


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The pruned, trained network that fits, what it was and what the last cut was made of, the rounds between."""

    whole: Subject
    subject: Subject
    criterion: str
    choice: Choice
    recovered: Recovered
    fitted: Fitted
    history: tuple[RoundSummary, ...]


def shrink(model: Model, whole: Fitted, budget: Budget, job: Job) -> Shrunk:
    """Cut channels of `model` until the budget holds as measured, and train what is left.

    Args:
        model: The network, from a recipe.
        whole: What it takes whole.
        budget: The limits.
        job: How to prune and train.

    Raises:
        OverBudget: no widths fit; the sentence names what binds, `nearest` what would fit.
        UsageError: the settings name an importance that there is not.
    """
    criterion = criterion_named(job.settings.importance or _CRITERION)
    with job.progress.task("finding coupled channels"):
        assert model.module is not None
        coupling = analyse(model.module, model.example_inputs, job.settings.ignore)
    if not coupling.groups and not pattern_menus(model, coupling, job.settings):
        raise over_budget(whole, budget, "none of its channels can be pruned")
    subject = subject_of(model, coupling, whole, criterion, job)
    limits = budget if whole.cost.latency_ms is not None else replace(budget, latency_ms=None)
    forecast = Forecast(limits, subject.table.cycles_per_ms)
    if job.settings.accuracy_drop is not None:
        return _within_drop(subject, criterion.name, job.settings.accuracy_drop, budget, forecast, job)
    return _to_budget(subject, criterion, budget, forecast, job)


def subject_of(model: Model, coupling: Coupling, whole: Fitted, criterion: Criterion, job: Job) -> Subject:
    """The network with what its channels cost and are worth."""
    assert model.module is not None
    widths = group_widths(coupling, minimum=job.settings.minimum)
    offered = pattern_menus(model, coupling, job.settings)
    with job.progress.task("pricing widths"):
        skeleton = Skeleton(whole.build.whole, weighted_layers(coupling), widths)
        table = best_case_costs(skeleton, job.builder.device, whole, offered)
    menus = {menu.group: menu for menu in offered if menu.group in table.widths}
    data = gather(model, seed=job.settings.seed)
    scores, curves = channel_worth(model.module, coupling, table.widths, criterion, data, job.progress)
    if menus:
        curves = {**curves, **pattern_curves(model.module, menus, data, job.progress)}
    return Subject(model, coupling, table, scores, curves, data, job.builder.draft, menus=menus)


def _to_budget(whole: Subject, criterion: Criterion, budget: Budget, forecast: Forecast, job: Job) -> Shrunk:
    """The widths that fit, approached in rounds and trained; where training moves them over, narrower ones."""
    teacher, subject = whole.model.module, whole
    assert teacher is not None
    settled = _settled(whole, forecast, job, "feasible")
    rounds, steps = _rounds(whole, settled, job.settings), training_steps(job.settings)
    history: tuple[RoundSummary, ...] = ()
    if rounds > 1:
        each = min(round(steps * _ROUND_SHARE), steps // (2 * (rounds - 1)))
        steps -= each * (rounds - 1)
        subject, history, settled = _in_rounds(whole, settled, rounds, each, criterion, job)
    settled = _refined(subject, settled, budget, job)
    for number in range(1, _TRAININGS + 1):
        cut = carve_well(subject, settled.choice, job.progress)
        patterns = patterns_of(subject, settled.choice)
        recovered = recover(cut, teacher, steps, job, f"trained_{number}", patterns)
        fitted = job.builder.fit(recovered.model, budget, f"trained_{number}", recovered.onnx)
        if fitted.fits:
            return Shrunk(whole, subject, criterion.name, settled.choice, recovered, fitted, history)
        if number < _TRAININGS:
            job.progress.say("training moved the network over the budget again; cutting more")
            forecast = settled.forecast.after(settled.choice.resources, fitted.cost)
            settled = _settled(subject, forecast, job, f"settled_{number}")
    raise over_budget(
        fitted, budget, f"training moved it over the budget {_TRAININGS} times: leave it more room"
    )


def _refined(subject: Subject, settled: Settled, budget: Budget, job: Job) -> Settled:
    """Widths that use no more and lose less, judged by cutting them together, if their build keeps the budget too."""
    module = subject.model.module
    assert module is not None
    if _is_whole(subject, settled):
        return settled

    def find() -> Mapping[str, Any]:
        better = choose_jointly(
            module,
            subject.coupling,
            subject.scores,
            subject.curves,
            subject.table,
            _reached(settled),
            subject.data,
            progress=job.progress,
            menus=subject.menus,
        )
        if dict(better.widths) == dict(settled.choice.widths):
            return {"widths": dict(settled.choice.widths)}
        fits = subject.build(carve(subject, better), budget, "refined").fits
        return {"widths": dict(better.widths if fits else settled.choice.widths)}

    kept = job.kept.once("refined", find)
    return replace(settled, choice=choice_at(subject.curves, subject.table, kept["widths"]))


def _in_rounds(
    whole: Subject, feasible: Settled, rounds: int, steps: int, criterion: Criterion, job: Job
) -> tuple[Subject, tuple[RoundSummary, ...], Settled]:
    """The network before its last cut, its rounds, and the widths of that cut; from the whole one if rounds miss."""
    subject, history = approach(whole, _reached(feasible), rounds, steps, criterion, job)
    try:
        return subject, history, _settled(subject, feasible.forecast, job, "settled_0")
    except OverBudget:
        job.progress.say("rounds of training ended outside the budget: cutting the whole network at once")
        return whole, (), feasible


def _rounds(subject: Subject, settled: Settled, settings: Settings) -> int:
    """How many rounds lead to what was settled on; one where nothing is cut, or nothing is trained between them."""
    if _is_whole(subject, settled) or not may_take_rounds(subject.coupling):
        return 1
    if training_steps(settings) < 1:
        return 1
    return settings.rounds or _ROUNDS


def _is_whole(subject: Subject, settled: Settled) -> bool:
    return all(width == subject.table.widths[name][-1] for name, width in settled.choice.widths.items())


def _reached(settled: Settled) -> Limits:
    """What the widths settled on use, as limits on the resources that are limited."""
    given = settled.forecast.limits().given()
    return Limits(**{name: getattr(settled.choice.resources, name) for name in given})


def _settled(subject: Subject, forecast: Forecast, job: Job, stage: str) -> Settled:
    """As `settle`; what an earlier run settled on is taken up."""

    def find() -> Mapping[str, Any]:
        found = settle(subject, forecast, job.progress)
        seen = [(astuple(believed), astuple(cost)) for believed, cost in found.forecast.seen]
        return {"widths": dict(found.choice.widths), "seen": seen}

    kept = job.kept.once(stage, find)
    choice = choice_at(subject.curves, subject.table, kept["widths"])
    seen = tuple((Resources(*believed), Cost(*cost)) for believed, cost in kept["seen"])
    return Settled(choice, replace(forecast, seen=seen))


def _within_drop(
    subject: Subject, criterion: str, points: float, budget: Budget, forecast: Forecast, job: Job
) -> Shrunk:
    """The smallest network that loses at most `points` as int8, trained; it keeps the budget as well."""
    model = subject.model
    assert model.module is not None
    assert model.training is not None
    training, whole = model.training, model.module
    feasible = _settled(subject, forecast, job, "feasible")
    original = evaluate(model, whole, JUDGED_SAMPLES)
    steps = training_steps(job.settings)
    if job.settings.effort is None:
        steps = steps * 2 // TRIALS

    def attempt(choice: Choice, number: int) -> Within:
        cut = carve_well(subject, choice, job.progress)
        recovered = recover(cut, whole, steps, job, f"drop_{number}", patterns_of(subject, choice))
        reached = recovered.int8_score
        if reached is None:
            reached = int8_score(recovered.model, job.builder.int8(recovered.model), JUDGED_SAMPLES)
        return Within(choice, recovered, points_lost(training, original, reached))

    limits = feasible.forecast.limits()
    held = within(subject, feasible.choice, points, job.settings.optimize, limits, attempt, job.progress)
    for number, one in enumerate(held):
        fitted = job.builder.fit(one.recovered.model, budget, f"within_{number}", one.recovered.onnx)
        if fitted.fits:
            return Shrunk(subject, subject, criterion, one.choice, one.recovered, fitted, ())
    raise over_budget(
        fitted, budget, f"{len(held)} network(s) tried that lose at most {points:g} points take more"
    )
