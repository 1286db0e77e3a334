"""Refusing settings that could change nothing about a run: what was asked for would be silently left out."""

from __future__ import annotations

from dataclasses import fields

from edgeprune.codegen.packages import check_packages
from edgeprune.config import Settings
from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.model import Model
from edgeprune.tvm import require_tvm

__all__ = ["refuse_unused"]

_PRUNING = {
    "effort": "--effort",
    "train": "--no-train",
    "accuracy_drop": "--accuracy-drop",
    "importance": "--importance",
    "rounds": "--rounds",
    "sparsity": "--sparsity",
    "sparsify": "--sparsify",
    "ignore": "--ignore",
    "minimum": "[prune.minimum]",
}


def refuse_unused(settings: Settings, model: Model, device: Device) -> None:
    """Say which setting `model` or `device` leaves without effect.

    Raises:
        UsageError: there is one.
    """
    defaults = Settings(settings.model, settings.device)
    given = [
        item.name for item in fields(settings) if getattr(settings, item.name) != getattr(defaults, item.name)
    ]
    if model.kind == "onnx-int8" and "calibration" in given:
        raise UsageError(f"{model.path.name} is int8 already: leave out --calibration")
    if settings.tvm_output == "object":
        _refuse_objects(settings)
    if not model.stepping.is_whole:
        _refuse_with_states(settings, model)
    if settings.dtype == "float32":
        _refuse_float(settings, model, device, given)
    elif settings.backend == "tvm":
        raise UsageError("TVM's kernels are for float32: give --dtype float32, or leave out --backend tvm")
    pruning = [name for name in given if name in _PRUNING]
    if model.training is None and pruning:
        raise UsageError(
            f"{model.path.name} brings no training data to prune or train it by: leave out "
            f"{_PRUNING[pruning[0]]}, or give a recipe"
        )
    if settings.tune and device.emulator is None:
        raise UsageError(f"{device.name} has no emulator to measure kernels in: leave out --tune")
    if settings.stream_input and (settings.runner != "qemu" or settings.board_firmware):
        raise UsageError(
            "a library that takes rows runs in the emulator only: leave out --stream-input, or --runner and "
            "--board-firmware"
        )
    if "sparsify" in given and settings.sparsity == "none":
        raise UsageError("--sparsify says when single weights go, and none are to: give --sparsity as well")
    if "sparsify" in given and settings.chooses_sparsity:
        raise UsageError("--sparsity auto has weights go before the training: leave out --sparsify")
    if not settings.train and (idle := [name for name in ("effort", "rounds") if name in given]):
        raise UsageError(
            f"{_PRUNING[idle[0]]} says how to train, and --no-train not to: leave out one of them"
        )
    if settings.accuracy_drop is not None and settings.rounds is not None:
        raise UsageError("--accuracy-drop cuts each network that it tries at once: leave out --rounds")
    if settings.sparsity != "none" and not settings.train:
        raise UsageError("single weights cannot go without training: leave out --no-train or --sparsity")


def _refuse_objects(settings: Settings) -> None:
    if settings.backend == "c":
        raise UsageError("machine code is of TVM's kernels: leave out --backend c, or --tvm-output object")
    check_packages(settings.package, machine_code=True)
    require_tvm("machine code")


def _refuse_with_states(settings: Settings, model: Model) -> None:
    what = "--frames" if model.stepping.frames else "states"
    if settings.stream_input:
        raise UsageError(f"with {what} a run takes all of its input at once: leave out --stream-input")
    if settings.dtype == "float32":
        raise UsageError(f"{what} are for int8, which TVM's kernels are not: leave out --dtype float32")
    pruning = [settings.macs, settings.params, settings.accuracy_drop]
    if any(one is not None for one in pruning) or settings.sparsity != "none":
        raise UsageError(
            f"a network with {what} is deployed as it is: leave out --macs, --params, --accuracy-drop and --sparsity"
        )
    if model.stepping.states and settings.input_uint8:
        raise UsageError("bytes at the input are for networks with one input: leave out --input-uint8")


def _refuse_float(settings: Settings, model: Model, device: Device, given: list[str]) -> None:
    if settings.backend == "c":
        raise UsageError("kernels in float32 come from TVM: leave out --backend c, or --dtype float32")
    if settings.input_uint8:
        raise UsageError("bytes at the input are for int8: leave out --input-uint8, or --dtype float32")
    if not device.fpu:
        raise UsageError(f"{device.name} has no FPU to compute in float32 with: leave out --dtype float32")
    if model.kind == "onnx-int8":
        raise UsageError(f"{model.path.name} is int8: leave out --dtype float32")
    for name in ("calibration", *(key for key in _PRUNING if key not in ("train", "ignore"))):
        if name in given:
            option = _PRUNING.get(name, f"--{name}")
            raise UsageError(f"a network in float32 is neither calibrated nor pruned: leave out {option}")
    require_tvm("a network in float32")
