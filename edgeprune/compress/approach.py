"""Rounds of cutting and training on the way to a budget, before the last cut, which is settled by building."""

from __future__ import annotations

from dataclasses import replace

import torch

from edgeprune.compress.job import Job
from edgeprune.compress.subject import Subject
from edgeprune.prune import Criterion, Limits, channel_worth, pattern_curves, resources
from edgeprune.prune.sensitivity import loss_of
from edgeprune.report.pruning import Change, RoundSummary
from edgeprune.rounds import State, between, in_rounds, start, used
from edgeprune.train import fine_tune

__all__ = ["approach"]


def approach(
    subject: Subject, limits: Limits, rounds: int, steps: int, criterion: Criterion, job: Job
) -> tuple[Subject, tuple[RoundSummary, ...]]:
    """The network after all `rounds` but the last, and what each of them did; weights go by patterns in the last.

    Args:
        subject: The whole network.
        limits: By its cost table, what the last cut will come to.
        rounds: How many, the last one included.
        steps: Of training, after each of these rounds.
        criterion: Ranks channels.
        job: How to train.
    """
    model, table = subject.model, subject.table.without_options()
    assert model.module is not None
    teacher = model.module
    history: list[RoundSummary] = []

    def tune(state: State, number: int) -> torch.nn.Module:
        tuned = fine_tune(
            replace(model, module=state.module),
            state.module,
            steps,
            seed=job.settings.seed,
            teacher=teacher,
            progress=job.progress,
            resume_from=job.kept.path(f"round_{number}"),
        )
        loss = Change(*(loss_of(module, subject.data, anew=False) for module in (state.module, tuned)))
        macs = resources(table, state.widths).macs
        history.append(RoundSummary(dict(state.widths), loss, macs, steps))
        return tuned

    whole = start(model.module, subject.coupling, table)
    short_of = between(used(table, whole.widths), limits, (rounds - 1) / rounds)
    state = in_rounds(
        whole, table, short_of, rounds - 1, subject.data, criterion, tune, progress=job.progress
    )
    left = subject.table.restricted(state.widths)
    scores, curves = channel_worth(
        state.module, state.coupling, left.widths, criterion, subject.data, job.progress
    )
    if subject.menus:
        curves = {**curves, **pattern_curves(state.module, subject.menus, subject.data, job.progress)}
    cut = replace(
        subject,
        model=replace(model, module=state.module),
        coupling=state.coupling,
        table=left,
        scores=scores,
        curves=curves,
        cut_before=state.plan,
    )
    return cut, tuple(history)
