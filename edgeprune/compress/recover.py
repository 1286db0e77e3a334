"""Winning back what a cut took: training, with fewer weights where asked for, and for int8 where that loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from edgeprune.compress.job import Job
from edgeprune.config import Settings
from edgeprune.model.model import Model
from edgeprune.patterns import SPARSITY_BLOCKS, LayerPattern
from edgeprune.prune import gather, thin
from edgeprune.quantize import int8_score
from edgeprune.report.pruning import Change
from edgeprune.train import DEFAULT_STEPS, evaluate, fine_tune, quantization_aware, sparsify
from edgeprune.train.points import points_lost

__all__ = [
    "INT8_LOSS_POINTS",
    "JUDGED_SAMPLES",
    "Recovered",
    "recover",
    "recover_whole",
    "training_steps",
]

INT8_LOSS_POINTS = 1.0
"""When int8 loses more than so many points of the metric against float, the network is trained for it."""
JUDGED_SAMPLES = 1000
"""About how many test samples such questions are decided on."""
_INT8_SHARE = 0.25
"""Steps of quantisation-aware training, as a share of the others."""


@dataclass(frozen=True, eq=False)
class Recovered:
    """A trained network, the optimizer steps that took, and its training for int8, if it needed any.

    `onnx` is its int8 form and `int8_score` the metric of that on about `JUDGED_SAMPLES` test samples, where it was
    judged.
    """

    model: Model
    steps: int
    onnx: bytes | None = None
    int8_score: float | None = None
    int8: Change | None = None


def training_steps(settings: Settings) -> int:
    """The optimizer steps that a deployment takes before those for int8."""
    if not settings.train:
        return 0
    return DEFAULT_STEPS if settings.effort is None else settings.effort


def recover(
    cut: Model,
    teacher: torch.nn.Module,
    steps: int,
    job: Job,
    stage: str,
    patterns: Mapping[str, LayerPattern] = MappingProxyType({}),
) -> Recovered:
    """Train `cut`, with the whole network as its teacher; then for int8, where int8 loses more than a point.

    Args:
        cut: The network, pruned or whole.
        teacher: The network whose answers it imitates.
        steps: Optimizer steps; 0 leaves it as it is.
        job: How to train.
        stage: What part of the run this is: its state is kept under names that begin so.
        patterns: By layer, what its weights are thinned to before the first step.

    Raises:
        TrainingDiverged: the loss is not a finite number.
    """
    if patterns:
        assert cut.module is not None
        data = gather(cut, seed=job.settings.seed)
        cut = replace(cut, module=thin(cut.module, patterns, data, progress=job.progress))
    if steps < 1:
        return Recovered(cut, 0)
    held = bool(patterns) or job.settings.density() is not None
    trained = replace(cut, module=_trained(cut, teacher, steps, job, stage, hold_zeros=bool(patterns)))
    return _for_int8(Recovered(trained, steps), steps, job, stage, hold_zeros=held)


def recover_whole(model: Model, onnx: bytes, job: Job) -> Recovered | None:
    """A network that fits as it is, with fewer weights where asked for, or trained for int8 where that loses.

    `onnx` is its int8 form. None where neither is called for, or there is nothing to train it by.
    """
    steps = training_steps(job.settings)
    if model.module is None or model.training is None or steps < 1:
        return None
    if job.settings.density() is not None:
        return recover(model, model.module, steps, job, "whole")
    trained = _for_int8(Recovered(model, 0, onnx), steps, job, "whole", hold_zeros=False)
    return None if trained.int8 is None else trained


def _trained(
    cut: Model, teacher: torch.nn.Module, steps: int, job: Job, stage: str, *, hold_zeros: bool
) -> torch.nn.Module:
    """`cut` after training; where weights are to go, half of the steps come before they go "after" training."""
    assert cut.module is not None
    settings, module = job.settings, cut.module
    density = settings.density()
    dense = steps if density is None else steps // 2 if settings.sparsify == "after" else 0
    if dense:
        module = fine_tune(
            cut,
            module,
            dense,
            seed=settings.seed,
            teacher=teacher,
            progress=job.progress,
            resume_from=job.kept.path(f"{stage}_tuned"),
            hold_zeros=hold_zeros,
        )
    if density is None:
        return module
    return sparsify(
        cut,
        module,
        density,
        settings.sparsify,
        steps - dense,
        block=SPARSITY_BLOCKS[settings.sparsity_pattern()],
        calibration=gather(cut, seed=settings.seed) if settings.sparsify == "after" else None,
        ignore=settings.ignore,
        seed=settings.seed,
        teacher=teacher,
        progress=job.progress,
        resume_from=job.kept.path(f"{stage}_sparse"),
    )


def _for_int8(done: Recovered, steps: int, job: Job, stage: str, *, hold_zeros: bool) -> Recovered:
    """The network judged as int8; trained for it, by a share of `steps`, where it loses by it and gains by that."""
    model = done.model
    assert model.module is not None
    assert model.training is not None
    in_float = evaluate(model, model.module, JUDGED_SAMPLES)
    onnx = done.onnx or job.builder.int8(model)
    before = int8_score(model, onnx, JUDGED_SAMPLES)
    judged = replace(done, onnx=onnx, int8_score=before)
    lost = points_lost(model.training, in_float, before)
    if lost <= INT8_LOSS_POINTS:
        return judged
    job.progress.say(f"int8 loses {lost:.1f} points: training for it")
    more = max(1, round(steps * _INT8_SHARE))
    module = quantization_aware(
        model,
        model.module,
        more,
        seed=job.settings.seed,
        progress=job.progress,
        resume_from=job.kept.path(f"{stage}_int8"),
        hold_zeros=hold_zeros,
    )
    aware = replace(model, module=module)
    onnx = job.builder.int8(aware)
    after = int8_score(aware, onnx, JUDGED_SAMPLES)
    if points_lost(model.training, before, after) >= 0:
        job.progress.say("training for int8 gained nothing: the network stays as it was")
        return judged
    return Recovered(aware, done.steps + more, onnx, after, Change(before, after))
