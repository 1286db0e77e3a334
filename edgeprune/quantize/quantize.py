"""From a float network and calibration data to a complete QDQ int8 ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array, Quant
from edgeprune.model.model import Dataset, Model
from edgeprune.progress import Progress, SilentProgress
from edgeprune.quantize.export import export_float
from edgeprune.quantize.insert import insert_qdq
from edgeprune.quantize.normalize import normalize_float
from edgeprune.quantize.observe import Histogram, observe
from edgeprune.quantize.ranges import RULES, activation_quant, choose_range, symmetric_scale
from edgeprune.quantize.run import run_onnx, serialize, signal_to_noise_db
from edgeprune.quantize.sequences import unroll
from edgeprune.quantize.sharing import Group, fused_clamps, sharing_groups

__all__ = ["quantize"]

_JUDGED_SAMPLES = 64


def quantize(model: Model, calibration: Dataset, progress: Progress | None = None) -> bytes:
    """Quantise a float model: int8 activations per tensor, int8 weights per output channel, int32 biases.

    Each rule of `ranges.RULES` is tried; the network nearest to the float one in signal-to-noise ratio of its
    outputs, over up to 64 of the calibration samples, is kept.

    Args:
        model: A "torch" or "onnx-float" model; an "onnx-int8" model is returned as it is.
        calibration: Samples as the network will meet them, [N, *shape] for each input; where it keeps states,
            sequences [N, steps, *shape] for each other input.
        progress: Where to report to.

    Returns:
        The QDQ ONNX file with static shapes, batch 1. The same model and data give the same bytes.

    Raises:
        UsageError: the model cannot be exported, an operator cannot run, or values are NaN or infinite.
    """
    progress = progress or SilentProgress()
    if model.kind == "onnx-int8":
        assert model.onnx is not None
        return model.onnx
    with progress.task("exporting to ONNX"):
        network = normalize_float(_float_network(model))
    return quantize_network(network, calibration, progress, model.stepping.states)


def quantize_network(
    network: ir.Model, calibration: Dataset, progress: Progress, states: Sequence[tuple[int, int]] = ()
) -> bytes:
    """Quantise a float network that is in the form of `normalize`; see `quantize`.

    `states` are numbers of inputs and of the outputs that they are in the next step: then the samples are sequences.
    """
    _check_floats(network)
    clamps = fused_clamps(network.graph)
    graph = network.graph
    kept = [(graph.inputs[before], graph.outputs[after]) for before, after in states]
    groups = sharing_groups(graph, clamps, kept)
    if kept:
        calibration = Dataset(unroll(serialize(network), calibration.inputs, states))
    histograms = observe(network, groups, calibration.inputs, progress)
    judged = [array[:_JUDGED_SAMPLES] for array in calibration.inputs]
    wanted = run_onnx(serialize(network), judged)
    dropped = {
        clamp.name or "": clamp.inputs[0].name or "" for clamp in clamps if clamp.inputs[0] is not None
    }

    best: tuple[float, bytes] | None = None
    with progress.task("quantising", len(RULES)) as task:
        for rule in RULES:
            quants = _quants(groups, histograms, rule)
            data = serialize(insert_qdq(network, quants, dropped))
            nearness = signal_to_noise_db(wanted, run_onnx(data, judged))
            if best is None or nearness > best[0]:
                best = (nearness, data)
            task.advance(note=f"{rule}: {nearness:.1f} dB")
    assert best is not None
    progress.say(f"quantised to int8; the outputs stand {best[0]:.1f} dB above the rounding noise")
    return best[1]


def _float_network(model: Model) -> ir.Model:
    if model.module is not None:
        return export_float(model.module, model.example_inputs, model.name)
    import onnx

    assert model.onnx is not None
    proto = onnx.load_model_from_string(model.onnx)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < 13:  # scales per channel exist since opset 13
        try:
            proto = onnx.version_converter.convert_version(proto, 13)
        except Exception as error:  # the C++ converter raises types of its own
            raise UsageError(
                f"{model.path} has opset {opset}, which cannot be brought to 13: export it with a newer opset"
            ) from error
    return ir.from_proto(proto)


def _check_floats(network: ir.Model) -> None:
    for value in [*network.graph.inputs, *(v for node in network.graph for v in node.outputs)]:
        if value.dtype in (ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16):
            raise UsageError(
                f"value {value.name!r} is {value.dtype.name.lower()}: export the network in float32"
            )


def _quants(groups: Sequence[Group], histograms: Mapping[Group, Histogram], rule: str) -> dict[str, Quant]:
    quants: dict[str, Quant] = {}
    for group in groups:
        if group.tables:
            largest = max(float(np.abs(_values(table)).max(initial=0.0)) for table in group.tables)
            quant = Quant.per_tensor(symmetric_scale(largest), 0)
        else:
            quant = activation_quant(*choose_range(histograms[group], rule))
        quants.update({value.name or "": quant for value in group.members})
    return quants


def _values(value: ir.Value) -> Array:
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy())
