"""The loop at the heart of the product: measure, decide, cut, fine-tune, until the budget holds as measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgeprune.compile import Build
from edgeprune.config import Budget, Settings
from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.fit import Fitted, fit_program, over_budget
from edgeprune.model import Model
from edgeprune.model.data import dataset_from_batches, input_specs, load_dataset, random_dataset
from edgeprune.model.model import Dataset
from edgeprune.progress import Progress
from edgeprune.report import PruningSummary
from edgeprune.verdict import Cost

__all__ = ["Network", "compress", "int8_onnx"]

_CALIBRATION_SAMPLES = 256
_DRAFT_SAMPLES = 16
"""What a cut takes hardly depends on its ranges: while widths are settled, so many samples give them."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network that fits: its build, what it costs, and the pruned model where channels were taken."""

    build: Build
    cost: Cost
    pruned: Model | None
    pruning: PruningSummary


def compress(
    model: Model, device: Device, budget: Budget, settings: Settings, directory: Path, progress: Progress
) -> Network:
    """The network itself if it fits, else a pruned one that does.

    Raises:
        OverBudget: neither fits; the sentence names what binds.
        UsageError: a float ONNX model without calibration data, or data that do not fit the model.
    """
    calibration = _calibration(model, settings)

    def build(candidate: Model, limits: Budget, folder: str, data: Dataset | None) -> Fitted:
        onnx = _int8(candidate, data, progress)
        place = directory / folder
        return fit_program(onnx, model.name, device, limits, settings.optimize, None, place, progress)

    def fit(candidate: Model, limits: Budget, folder: str) -> Fitted:
        return build(candidate, limits, folder, calibration)

    def draft(candidate: Model, limits: Budget, folder: str) -> Fitted:
        return build(candidate, limits, folder, calibration and _first(calibration, _DRAFT_SAMPLES))

    fitted = fit(model, budget, "unpruned")
    budget = _with_ceilings(budget, settings, fitted.cost)
    if fitted.fits and fitted.cost.fits(budget):
        return Network(fitted.build, fitted.cost, None, PruningSummary())
    if model.module is None:
        raise over_budget(
            fitted, budget, "an ONNX model is deployed as it is: give a recipe to have it pruned"
        )
    if model.training is None:
        raise over_budget(fitted, budget, "without training data it cannot be pruned: give a recipe")

    from edgeprune.shrink import shrink

    shrunk = shrink(model, fitted, device, budget, settings, draft, fit, progress)
    return Network(shrunk.fitted.build, shrunk.fitted.cost, shrunk.model, shrunk.summary)


def _with_ceilings(budget: Budget, settings: Settings, whole: Cost) -> Budget:
    """The budget with the most multiply-accumulates and parameters, which may be given as shares of the whole's."""
    found = {name: ceiling.of(getattr(whole, name)) for name, ceiling in settings.ceilings().items()}
    return replace(budget, **found)


def int8_onnx(model: Model, settings: Settings, progress: Progress, quick: bool = False) -> bytes:
    """The model as QDQ ONNX. `quick` calibrates on random inputs: sizes and costs do not depend on it."""
    if quick and model.kind != "onnx-int8":
        return _int8(model, random_dataset(input_specs(model), 1, settings.seed), progress)
    return _int8(model, _calibration(model, settings), progress)


def _int8(model: Model, calibration: Dataset | None, progress: Progress) -> bytes:
    if model.kind == "onnx-int8":
        assert model.onnx is not None
        return model.onnx
    from edgeprune.quantize import quantize

    assert calibration is not None
    return quantize(model, calibration, progress)


def _calibration(model: Model, settings: Settings) -> Dataset | None:
    if model.kind == "onnx-int8":
        return None
    if settings.calibration is not None:
        return load_dataset(settings.calibration, input_specs(model))
    if model.training is not None:
        return dataset_from_batches(model.training.train_data(), _CALIBRATION_SAMPLES, model.example_inputs)
    raise UsageError(
        f"{model.path.name} is a float model: give data to calibrate it with --calibration data.npz"
    )


def _first(data: Dataset, samples: int) -> Dataset:
    return Dataset(tuple(array[:samples] for array in data.inputs))
