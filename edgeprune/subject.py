"""`Subject`: a network with what its channels cost and are worth; `carve`: cutting it to chosen widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeprune.config import Budget
from edgeprune.costs import CostTable
from edgeprune.fit import Fitted
from edgeprune.model.model import Model
from edgeprune.prune import (
    Calibration,
    Choice,
    Coupling,
    Curves,
    PruningPlan,
    Scores,
    best,
    prune,
    recalibrate,
    reconstruct,
)

__all__ = ["Subject", "carve", "plan_of"]


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


def plan_of(subject: Subject, choice: Choice) -> PruningPlan:
    """The channels that stay at the widths of `choice`: of each group, those that score highest."""
    return best(subject.scores, choice.widths)


def carve(subject: Subject, choice: Choice, *, correct: bool) -> Model:
    """The network cut to the widths of `choice`, its normalisations re-estimated.

    Args:
        subject: The network.
        choice: The widths.
        correct: Whether the weights that stay make up for those that go (see `prune.reconstruct`), which takes
            seconds and changes nothing about what the cut costs.
    """
    module = subject.model.module
    assert module is not None
    plan = plan_of(subject, choice)
    if correct:
        module = reconstruct(module, subject.coupling, plan, subject.data)
    smaller = prune(module, subject.coupling, plan)
    recalibrate(smaller, subject.data.batches)
    return replace(subject.model, module=smaller)
