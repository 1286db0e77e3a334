"""A network that fits: the user's own where it does, else one that was pruned until it did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgeprune.builder import Builder, calibration_data
from edgeprune.checkpoints import checkpoints
from edgeprune.compile import Build
from edgeprune.config import Budget, Settings
from edgeprune.device import Device
from edgeprune.fit import over_budget
from edgeprune.model import Model
from edgeprune.progress import Progress
from edgeprune.report import PruningSummary
from edgeprune.verdict import Cost

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
    place: Path,
    scratch: Path,
    progress: Progress,
) -> Network:
    """The network itself if it fits, else a pruned one that does.

    Args:
        model: The network.
        device: What it is built for.
        budget: The limits on flash, RAM and latency; `settings` may name others.
        settings: How to prune and train.
        place: Where the bundle will go; checkpoints are kept beside it.
        scratch: Where builds go.
        progress: Told of every stage.

    Raises:
        OverBudget: neither fits; the sentence names what binds.
        UsageError: a float ONNX model without calibration data, or data that do not fit the model.
    """
    builder = Builder(device, settings.optimize, calibration_data(model, settings), scratch, progress)
    whole = builder.fit(model, budget, "unpruned")
    budget = _with_ceilings(budget, settings, whole.cost)
    if whole.fits and whole.cost.fits(budget) and not settings.asks_for_less:
        return Network(whole.build, whole.cost, budget, None, PruningSummary())
    if model.module is None:
        raise over_budget(
            whole, budget, "an ONNX model is deployed as it is: give a recipe to have it pruned"
        )
    if model.training is None:
        raise over_budget(whole, budget, "without training data it cannot be pruned: give a recipe")

    from edgeprune.shrink import shrink

    with checkpoints(settings, place, progress) as kept:
        shrunk = shrink(model, whole, budget, builder, settings, kept, progress)
    return Network(shrunk.fitted.build, shrunk.fitted.cost, budget, shrunk.model, shrunk.summary)


def _with_ceilings(budget: Budget, settings: Settings, whole: Cost) -> Budget:
    """The budget with the most multiply-accumulates and parameters, which may be given as shares of the whole's."""
    found = {name: ceiling.of(getattr(whole, name)) for name, ceiling in settings.ceilings().items()}
    return replace(budget, **found)
