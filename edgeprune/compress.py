"""The loop at the heart of the product: measure, decide, cut, fine-tune, until the budget holds as measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.compile import Build, Cost
from edgeprune.config import Budget, Settings
from edgeprune.device import Device
from edgeprune.errors import OverBudget, UsageError
from edgeprune.fit import Fitted, fit_program
from edgeprune.model import Model
from edgeprune.model.data import dataset_from_batches, input_specs, load_dataset, random_dataset
from edgeprune.model.model import Dataset
from edgeprune.progress import Progress
from edgeprune.report import PruningSummary

__all__ = ["Network", "compress", "int8_onnx"]

_CALIBRATION_SAMPLES = 256


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
    fitted = _fit(model, calibration, device, budget, settings, directory / "unpruned", progress)
    if fitted.fits:
        return Network(fitted.build, fitted.cost, None, PruningSummary())
    raise over_budget(fitted, budget, "the network cannot be pruned")


def _fit(
    model: Model,
    calibration: Dataset | None,
    device: Device,
    budget: Budget,
    settings: Settings,
    directory: Path,
    progress: Progress,
) -> Fitted:
    onnx = _int8(model, calibration, progress)
    return fit_program(onnx, model.name, device, budget, settings.optimize, None, directory, progress)


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


def over_budget(fitted: Fitted, budget: Budget, why: str) -> OverBudget:
    """The refusal of a network that does not fit, with what it takes."""
    cost = fitted.cost
    parts = []
    if budget.flash_bytes is not None and cost.flash_bytes > budget.flash_bytes:
        parts.append(f"flash {cost.flash_bytes:,} B of {budget.flash_bytes:,} B")
    if budget.ram_bytes is not None and cost.ram_bytes > budget.ram_bytes:
        parts.append(f"RAM {cost.ram_bytes:,} B of {budget.ram_bytes:,} B")
    if budget.latency_ms is not None and cost.latency_ms is not None and cost.latency_ms > budget.latency_ms:
        parts.append(f"latency {cost.latency_ms:.2f} ms of {budget.latency_ms:g} ms")
    needs = "it needs " + ", ".join(parts) if parts else "it does not fit"
    binds = f"; {fitted.binds}" if fitted.binds else ""
    nearest: dict[str, float] = {"flash": cost.flash_bytes, "ram": cost.ram_bytes}
    if cost.latency_ms is not None:
        nearest["latency_ms"] = cost.latency_ms
    return OverBudget(f"over budget: {needs}, and {why}{binds}", nearest)
