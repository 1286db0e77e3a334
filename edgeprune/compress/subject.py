"""`Subject`: a network with what its channels cost and are worth; `carve`: cutting it to chosen widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from edgeprune.compress.fit import Fitted
from edgeprune.config import Budget
from edgeprune.costs import CostTable
from edgeprune.model.model import Model
from edgeprune.patterns import LayerPattern, PatternMenus, patterns_at
from edgeprune.progress import Progress
from edgeprune.prune import (
    Calibration,
    Choice,
    Coupling,
    Curves,
    PruningPlan,
    Scores,
    best,
    compose,
    cut_corrected,
    prune,
    recalibrate,
    thin_roughly,
)

__all__ = ["Subject", "carve", "carve_well", "original_plan", "patterns_of"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be cut, and all that is known about its channels.

    `build` fits a cut to a budget; its last argument names the folder that is built in.
    """

    model: Model
    coupling: Coupling
    table: CostTable
    scores: Scores
    curves: Curves
    data: Calibration
    build: Callable[[Model, Budget, str], Fitted]
    cut_before: PruningPlan = field(default_factory=PruningPlan)
    """What rounds have cut from the original network to make `model`."""
    menus: PatternMenus = field(default_factory=dict)
    """The patterns that layers may take, which are options of the table."""


def _plan(subject: Subject, choice: Choice) -> PruningPlan:
    """The channels that stay at the widths of `choice`: of each group, those that score highest."""
    return best(subject.scores, {name: choice.widths[name] for name in subject.scores})


def carve(subject: Subject, choice: Choice) -> Model:
    """The network cut to the widths of `choice`, in seconds: what it costs is right, what it answers need not be."""
    assert subject.model.module is not None
    smaller = prune(subject.model.module, subject.coupling, _plan(subject, choice))
    recalibrate(smaller, subject.data.batches)
    return replace(subject.model, module=thin_roughly(smaller, patterns_of(subject, choice)))


def carve_well(subject: Subject, choice: Choice, progress: Progress) -> Model:
    """The same cut, without patterns, with the weights that stay made right for those that go, for training to find."""
    assert subject.model.module is not None
    plan = _plan(subject, choice)
    smaller = cut_corrected(subject.model.module, subject.coupling, plan, subject.data, progress)
    return replace(subject.model, module=smaller)


def patterns_of(subject: Subject, choice: Choice) -> Mapping[str, LayerPattern]:
    """The patterns that layers take by `choice`; they are for `recover` to bring about."""
    return patterns_at(subject.menus, choice.widths)


def original_plan(subject: Subject, choice: Choice) -> PruningPlan:
    """All that is cut from the original network once `subject` is cut to `choice`, in the original's numbers."""
    return compose(subject.cut_before, _plan(subject, choice))
