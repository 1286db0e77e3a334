"""A network that fits: the user's own where it does, else one that was pruned until it did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.compile import Build
from edgeprune.compress.builder import Builder, calibration_data
from edgeprune.compress.checkpoints import Checkpoints
from edgeprune.compress.fit import Fitted, over_budget
from edgeprune.compress.job import Job
from edgeprune.config import Budget, Settings
from edgeprune.device import Device
from edgeprune.errors import OverBudget
from edgeprune.model import Model
from edgeprune.plan import Objective
from edgeprune.progress import Progress
from edgeprune.report import PruningSummary
from edgeprune.verdict import Cost, OverResolvedBudget

if TYPE_CHECKING:
    import torch

__all__ = ["Network", "compress"]


@dataclass(frozen=True, eq=False)
class Network:
    """A network that fits: its build, what it costs, and the pruned model where channels were taken.

    `budget` is the one in force, where ceilings given as shares of the whole network are numbers.
    """

    build: Build
    cost: Cost
    budget: Budget
    pruned: Model | None
    pruning: PruningSummary


def compress(
    model: Model,
    device: Device,
    budget: Budget,
    settings: Settings,
    kept: Checkpoints,
    scratch: Path,
    progress: Progress,
) -> Network:
    """The network itself if it fits, else a pruned one that does.

    Args:
        model: The network.
        device: What it is built for.
        budget: The limits on flash, RAM and latency; `settings` may name others.
        settings: How to prune and train.
        kept: What an earlier run of the same settings finished.
        scratch: Where builds go.
        progress: Told of every stage.

    Raises:
        OverBudget: neither fits; the sentence names what binds.
        UsageError: a float ONNX model without calibration data, data that do not fit the model, or a setting that
            names what there is not.
    """
    if model.module is not None and model.training is not None:
        _check_names(model.module, settings)
    data = calibration_data(model, settings)
    named = settings.requested()
    goal = Objective(
        settings.optimize,
        spends_flash=named.flash_bytes is not None,
        spends_ram=named.ram_bytes is not None,
    )
    builder = Builder(
        device,
        goal,
        data,
        scratch,
        progress,
        settings.tune,
        settings.dtype,
        settings.stream_input,
        settings.byte_input(),
        settings.backend,
        settings.tvm_output,
    )
    whole = builder.fit(model, budget, "unpruned")
    budget = _with_ceilings(budget, settings, whole.cost)
    fits = whole.fits and whole.cost.fits(budget)
    as_it_is = model.stepping.states or (model.stepping.frames and not fits)
    if model.module is None or model.training is None or settings.dtype == "float32" or as_it_is:
        if fits:
            return Network(whole.build, whole.cost, budget, None, PruningSummary())
        raise over_budget(whole, budget, _why_not_pruned(model, settings))
    try:
        return _made_to_fit(model, whole, fits, budget, Job(settings, builder, kept, progress))
    except OverBudget as error:
        raise OverResolvedBudget(error, budget) from error


def _why_not_pruned(model: Model, settings: Settings) -> str:
    if settings.dtype == "float32":
        return "a network is deployed in float32 as it is: leave out --dtype to have it pruned in int8"
    if not model.stepping.is_whole:
        return "a network that keeps states is deployed as it is: leave some of it out, or allow more"
    lacking = "an ONNX model is deployed as it is" if model.module is None else "there is no training data"
    return f"{lacking}: give a recipe to have it pruned"


def _check_names(module: torch.nn.Module, settings: Settings) -> None:
    """Refuse names of criteria and layers that there are not, before any work is done.

    Raises:
        UsageError: there is one.
    """
    from edgeprune.prune import check_ignored, criterion_named

    if settings.importance is not None:
        criterion_named(settings.importance)
    check_ignored(module, settings.ignore)


def _made_to_fit(model: Model, whole: Fitted, fits: bool, budget: Budget, job: Job) -> Network:
    """A network with training data: as it is where it fits, perhaps trained for int8; else pruned."""
    from edgeprune.compress.recover import recover_whole
    from edgeprune.compress.shrink import shrink
    from edgeprune.compress.summarize import summarize, summarize_whole

    if fits and job.settings.accuracy_drop is None:
        recovered = recover_whole(model, whole.build.onnx, job)
        if recovered is None:
            return Network(whole.build, whole.cost, budget, None, PruningSummary())
        fitted = job.builder.fit(recovered.model, budget, "trained_whole", recovered.onnx)
        if fitted.fits:
            summary = summarize_whole(model, recovered, job.settings)
            return Network(fitted.build, fitted.cost, budget, recovered.model, summary)
        model, whole = recovered.model, fitted
    shrunk = shrink(model, whole, budget, job)
    summary = summarize(shrunk, whole, job.settings)
    return Network(shrunk.fitted.build, shrunk.fitted.cost, budget, shrunk.recovered.model, summary)


def _with_ceilings(budget: Budget, settings: Settings, whole: Cost) -> Budget:
    """The budget with the most multiply-accumulates and parameters, which may be given as shares of the whole's."""
    found = {name: ceiling.of(getattr(whole, name)) for name, ceiling in settings.ceilings().items()}
    return replace(budget, **found)
