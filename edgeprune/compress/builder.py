"""`Builder`: from a network to its measured build, as often as the budget loop asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeprune.byte_input import ByteInput
from edgeprune.compile import compile_network
from edgeprune.compress.fit import Fitted, fit_program
from edgeprune.config import Budget, Settings, TvmOutput
from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.graph.onnx_import import with_byte_input
from edgeprune.model import Model
from edgeprune.model.data import input_specs, load_dataset, random_dataset, recipe_dataset
from edgeprune.model.model import Dataset
from edgeprune.plan import Objective
from edgeprune.progress import Progress
from edgeprune.stepping import with_stepping

__all__ = ["Builder", "calibration_data", "float_onnx", "int8_onnx"]

_CALIBRATION_SAMPLES = 256
_DRAFT_SAMPLES = 16
"""What a cut takes hardly depends on its ranges: while widths are settled, so many samples give them."""


@dataclass(frozen=True, eq=False)
class Builder:
    """What the builds of one run share.

    `calibration` is None for a network that comes quantised; `tuned` builds choose among kernels as measured; with
    `stream_input` the library takes the input row by row, and with `byte_input` as bytes.
    """

    device: Device
    goal: Objective
    calibration: Dataset | None
    directory: Path
    progress: Progress
    tuned: bool = False
    dtype: str = "int8"
    stream_input: bool = False
    byte_input: ByteInput | None = None
    backend: str = "auto"
    tvm_output: TvmOutput = "source"

    def int8(self, model: Model) -> bytes:
        """The network as QDQ ONNX or, where builds are in float32, as float ONNX."""
        if self.dtype == "float32":
            return float_onnx(model)
        return _int8(model, self.calibration, self.byte_input, self.progress)

    def fit(self, model: Model, budget: Budget, folder: str, onnx: bytes | None = None) -> Fitted:
        """The network built for good within a budget, in a folder of this name; `onnx` is its int8 form, if made."""
        return self._build(onnx or self.int8(model), model, budget, folder, self.tuned)

    def draft(self, model: Model, budget: Budget, folder: str) -> Fitted:
        """Likewise, for a network whose values do not matter yet."""
        data = self.calibration
        if data is not None:
            data = Dataset(tuple(array[:_DRAFT_SAMPLES] for array in data.inputs))
        return self._build(
            _int8(model, data, self.byte_input, self.progress), model, budget, folder, tuned=False
        )

    def _build(self, onnx: bytes, model: Model, budget: Budget, folder: str, tuned: bool) -> Fitted:
        compiled = partial(
            compile_network,
            onnx,
            model.name,
            self.device,
            progress=self.progress,
            tuned=tuned,
            dtype=self.dtype,
            stream_input=self.stream_input,
            backend=self.backend,
            tvm_output=self.tvm_output,
        )
        return fit_program(compiled, budget, self.goal, self.directory / folder, self.progress)


def float_onnx(model: Model) -> bytes:
    """The model as float ONNX."""
    if model.onnx is not None:
        return model.onnx
    from edgeprune.quantize.export import export_float
    from edgeprune.quantize.names import name_nodes
    from edgeprune.quantize.run import serialize

    assert model.module is not None
    network = export_float(model.module, model.example_inputs, model.name)
    name_nodes(network.graph)
    return serialize(network)


def int8_onnx(model: Model, settings: Settings, progress: Progress, quick: bool = False) -> bytes:
    """The model as QDQ ONNX. `quick` calibrates on random inputs: sizes and costs do not depend on it."""
    if quick and model.kind != "onnx-int8":
        data: Dataset | None = random_dataset(input_specs(model), 1, settings.seed)
    else:
        data = calibration_data(model, settings)
    return _int8(model, data, settings.byte_input(), progress)


def calibration_data(model: Model, settings: Settings) -> Dataset | None:
    """What the run's networks are calibrated on; None for a network that comes quantised.

    Raises:
        UsageError: a float ONNX model without calibration data, or data that do not fit the model.
    """
    if model.kind == "onnx-int8" or settings.dtype == "float32":
        return None
    if settings.calibration is not None:
        return load_dataset(settings.calibration, input_specs(model))
    if model.training is not None:
        return recipe_dataset(model, model.training.train_data(), _CALIBRATION_SAMPLES)
    raise UsageError(
        f"{model.path.name} is a float model: give data to calibrate it with --calibration data.npz"
    )


def _int8(
    model: Model, calibration: Dataset | None, byte_input: ByteInput | None, progress: Progress
) -> bytes:
    if model.kind == "onnx-int8":
        assert model.onnx is not None
        onnx = model.onnx
    else:
        from edgeprune.quantize import quantize

        assert calibration is not None
        onnx = quantize(model, calibration, progress)
    return with_stepping(with_byte_input(onnx, byte_input), model.stepping)
