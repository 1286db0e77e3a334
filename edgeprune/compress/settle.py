"""Settling the widths of a network: choose, cut, link and run, learn from the measurement, and choose again.

Sizes and cycles hardly depend on what the weights are, so widths are settled on untrained cuts, in seconds each. No
refusal is believed that was not measured: where the table holds a budget for impossible, the network that it holds
for nearest is built, then the smallest there is, and only if that one misses the budget is it over budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.compress.fit import Fitted
from edgeprune.compress.forecast import Forecast
from edgeprune.compress.subject import Subject, carve
from edgeprune.config import Budget
from edgeprune.errors import OverBudget
from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.prune import (
    Choice,
    Coupling,
    NothingFits,
    amount,
    choice_at,
    choose,
    least_budgets,
    narrowest,
)
from edgeprune.verdict import missed, single_limits, spent, worst_excess

__all__ = ["Settled", "settle"]

_ROUNDS = 8
_ROUNDS_WITHOUT_ANY_FIT = 5
"""After this many the smallest network is built, so that the rest searches between what fits and what does not."""
_NEARLY = 1.03
_REFINEMENTS = 2
"""How often widths of less predicted loss are tried after some have fitted."""
_WORTHWHILE = 0.97
"""A refinement must promise at most this share of the predicted loss, or keep as many channels more at no loss."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """A cut, untrained, and what its build takes."""

    choice: Choice
    model: Model
    fitted: Fitted


@dataclass(frozen=True, eq=False)
class Settled:
    """The widths that fit, and what the builds on the way taught."""

    choice: Choice
    forecast: Forecast


def settle(subject: Subject, forecast: Forecast, progress: Progress) -> Settled:
    """The widths of least predicted loss found whose build keeps the budget of `forecast`.

    Raises:
        OverBudget: the smallest network misses it, as measured; `nearest` is what the nearest build takes.
    """
    trials: list[_Trial] = []
    while len(trials) < _ROUNDS:
        fitting = [trial for trial in trials if trial.fitted.fits]
        if len(fitting) > _REFINEMENTS or _hopeless(subject, trials, forecast.budget):
            break
        choice = _next(subject, forecast, trials)
        if choice is None:
            break
        trial = _build(subject, choice, forecast.budget, f"round_{len(forecast.seen)}")
        trials.append(trial)
        forecast = forecast.after(choice.resources, trial.fitted.cost)
        if not trial.fitted.fits:
            phrases = " and ".join(missed(trial.fitted.cost, forecast.budget).values())
            progress.say(f"round {len(trials)} misses the budget: {phrases}")
    fitting = [trial for trial in trials if trial.fitted.fits]
    if not fitting:
        raise _refusal(subject, trials, forecast)
    best = min((trial.choice for trial in fitting), key=_rank)
    return Settled(best, forecast)


def _next(subject: Subject, forecast: Forecast, trials: list[_Trial]) -> Choice | None:
    """What to build next; None where nothing is left that could fit, or that could be better than what does."""
    fitting = min((trial.choice for trial in trials if trial.fitted.fits), key=_rank, default=None)
    tried = [dict(trial.choice.widths) for trial in trials]
    fallbacks = [narrowest(subject.curves, subject.table)]
    choice: Choice | None = None
    if fitting is not None or len(trials) < _ROUNDS_WITHOUT_ANY_FIT or dict(fallbacks[0].widths) in tried:
        try:
            choice = choose(subject.curves, subject.table, forecast.limits())
        except NothingFits as error:
            fallbacks.insert(0, choice_at(subject.curves, subject.table, error.infeasible.widths))
    if fitting is not None:
        return choice if choice is not None and _is_better(choice, fitting) else None
    left = [one for one in (choice, *fallbacks) if one is not None and dict(one.widths) not in tried]
    return left[0] if left else None


def _hopeless(subject: Subject, trials: list[_Trial], budget: Budget) -> bool:
    """Whether the smallest network was built and missed the budget, by more than what layers happen to share."""
    smallest = dict(narrowest(subject.curves, subject.table).widths)
    return any(
        dict(trial.choice.widths) == smallest and worst_excess(trial.fitted.cost, budget) > _NEARLY
        for trial in trials
    )


def _rank(choice: Choice) -> tuple[float, int]:
    """Least predicted loss first; of equal ones, the most channels."""
    return choice.predicted_loss, -sum(choice.widths.values())


def _is_better(choice: Choice, other: Choice) -> bool:
    """Whether `choice` promises enough over `other` to be worth a build."""
    if choice.predicted_loss < _WORTHWHILE * other.predicted_loss:
        return True
    kept, other_kept = (sum(one.widths.values()) for one in (choice, other))
    return choice.predicted_loss <= other.predicted_loss and _WORTHWHILE * kept > other_kept


def _build(subject: Subject, choice: Choice, budget: Budget, folder: str) -> _Trial:
    cut = carve(subject, choice)
    return _Trial(choice, cut, subject.build(cut, budget, folder))


def _refusal(subject: Subject, trials: list[_Trial], forecast: Forecast) -> OverBudget:
    """Which limits even the smallest network misses, each tried alone, the nearest build of all, and what would do."""
    budget = forecast.budget
    smallest = min(trials, key=lambda trial: sum(trial.choice.widths.values()))
    alone: list[str] = []
    for word, limit in single_limits(budget).items():
        if word in missed(smallest.fitted.cost, budget):
            found = subject.build(smallest.model, limit, f"smallest_{word}")
            if worst_excess(smallest.fitted.cost, limit) < worst_excess(found.cost, limit):
                found = smallest.fitted  # What the device has of other memory can save some of this one.
            alone += [f"{phrase}{_where(found)}" for phrase in missed(found.cost, limit).values()]
    nearest = min((trial.fitted.cost for trial in trials), key=lambda cost: worst_excess(cost, budget))
    takes = ", ".join(missed(nearest, budget).values())
    if alone:
        reason = f"even the smallest network that pruning leaves needs {', '.join(alone)}"
    else:
        reason = (
            f"the smallest network that pruning leaves keeps each limit, but not all at once: at best {takes}"
        )
        reason += _would_do(subject, forecast)
    return OverBudget(f"over budget: {reason}{_held_back(subject.coupling)}", spent(nearest))


def _would_do(subject: Subject, forecast: Forecast) -> str:
    """The least limit of each kind with the others kept, as far as builds so far let one expect it."""
    limits = forecast.limits().given()
    words = []
    for axis, least in least_budgets(subject.curves, subject.table, forecast.limits()).items():
        if least > limits[axis]:
            expected = forecast.expects(axis, least)
            in_time = f"{expected / forecast.cycles_per_ms:.3g} ms"
            words.append(in_time if axis == "cycles" else amount(axis, expected))
    return f"; with the other limits kept, about {' or '.join(words)} would do" if words else ""


def _where(found: Fitted) -> str:
    """Which step binds the memory, in the planner's words: "<how much>: <where>; <advice>"."""
    _, _, where = (found.binds or "").partition(": ")
    return f" ({where.partition('; ')[0]})" if where else ""


def _held_back(coupling: Coupling) -> str:
    """Which layers pruning could not touch, where there are any besides the last."""
    kept = {name: why for name, why in coupling.frozen.items() if "output" not in why}
    if not kept:
        return ""
    name, why = next(iter(kept.items()))
    layers = f"layer {name!r} keeps" if len(kept) == 1 else f"layer {name!r} and {len(kept) - 1} more keep"
    return f"; {layers} all channels: {why}"
