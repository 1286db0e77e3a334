"""`report.json` as a value: the contract of DESIGN.md section 10; fields are added, never renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.config import Budget
from edgeprune.device import Device
from edgeprune.emulate import Measurement
from edgeprune.firmware import Image
from edgeprune.graph.ir import DTYPES, Graph, Tensor
from edgeprune.host_latency import HostLatency, TimedPair
from edgeprune.plan import Buffer, Program
from edgeprune.plan.stage_types import StageCandidate
from edgeprune.report.in_float import in_float_values
from edgeprune.report.layers import layer_values
from edgeprune.report.pruning import PruningSummary, pruning_values
from edgeprune.tvm import compiler_name, tvm_version
from edgeprune.verify.compare import Verification
from edgeprune.version import __version__

__all__ = ["Accuracy", "Findings", "make_report", "measured_values"]


@dataclass(frozen=True)
class Accuracy:
    """The metric at each stage on the same samples; None where it was not computed."""

    metric: str
    original: float | None
    pruned: float | None
    int8: float | None
    emulated: float | None
    samples: int


@dataclass(frozen=True, eq=False)
class Findings:
    """All a report is made of. `program`, `image` and what follow are None when nothing was built."""

    model: Mapping[str, Any]
    device: Device
    budget: Budget
    fits: bool
    backend: str
    dtype: str
    nearest: Mapping[str, float] | None = None
    reason: str | None = None
    program: Program | None = None
    compacted: bool = True
    """Whether the program is without the channels that are constant."""
    measured_candidates: int = 0
    """How many kernel candidates were measured before the program was planned."""
    image: Image | None = None
    measurement: Measurement | None = None
    verification: Verification | None = None
    accuracy: Accuracy | None = None
    pruning: PruningSummary | None = None
    host: HostLatency | None = None
    command: tuple[str, ...] | None = None
    """What was called, so that it can be called again."""


def make_report(findings: Findings) -> dict[str, Any]:
    """The report as JSON values."""
    program, image, measurement = findings.program, findings.image, findings.measurement
    budget, verification = findings.budget, findings.verification
    report: dict[str, Any] = {
        "edgeprune": __version__,
        "model": dict(findings.model),
        "device": findings.device.name,
        "backend": findings.backend,
        "dtype": findings.dtype,
        "budget": {
            "flash": budget.flash_bytes,
            "ram": budget.ram_bytes,
            "latency_ms": budget.latency_ms,
            "macs": budget.macs,
            "parameters": budget.parameters,
        },
        "fits": findings.fits,
        "nearest": None if findings.nearest is None else dict(findings.nearest),
        "reason": findings.reason,
        "flash": None,
        "ram": None,
        "latency": None,
        "macs": None,
        "parameters": None,
        "layers": [],
        "in_float": None,
        "buffers": [],
        "verify": None,
        "accuracy": None if findings.accuracy is None else _accuracy(findings.accuracy),
        "pruning": None if findings.pruning is None else pruning_values(findings.pruning),
        "host": None if findings.host is None else _host(findings.host),
        "tools": {} if measurement is None else dict(measurement.tools),
        "command": None if findings.command is None else list(findings.command),
    }
    if program is not None:
        report["macs"] = program.macs
        report["parameters"] = program.parameters
        report["buffers"] = [_buffer(program, buffer) for buffer in program.buffers]
        report["inputs"] = [_port(program.graph, tensor) for tensor in program.graph.inputs]
        report["outputs"] = [_port(program.graph, tensor) for tensor in program.graph.outputs]
        report["layers"] = layer_values(program, image, measurement)
        if any(row["source"] == "tvm" for row in report["layers"]):
            report["tools"]["tvm"] = tvm_version()
        if image is not None and image.sources.archives:
            report["tools"]["llvm"] = compiler_name(image.device)
        report["in_float"] = in_float_values(findings.dtype, report["layers"], findings.device)
    if program is not None and image is not None and measurement is not None:
        sizes = image.sizes
        static = sizes.context_bytes + sizes.static_bytes
        report["flash"] = {
            "total": sizes.flash_bytes,
            "code": sizes.code_bytes,
            "weights": sizes.weights_bytes,
        }
        report["ram"] = {
            "total": program.arena_bytes + static + measurement.stack_bytes,
            "arena": program.arena_bytes,
            "arena_persistent": program.persistent_bytes,
            "state": program.graph.state_bytes,
            "arena_lower_bound": program.lower_bound_bytes,
            "saved_by_overlap": max(0, program.lower_bound_bytes - program.arena_bytes),
            "static": static,
            "stack": measurement.stack_bytes,
        }
        report["latency"] = _latency(measurement)
        report["library"] = {
            "prefix": image.sources.prefix,
            "files": list(image.sources.files),
            "archives": list(image.sources.archives),
            "arena_align": image.sources.arena_align,
            "stages": list(image.sources.stages),
            "fed_rows": image.sources.fed_rows,
            "more_arenas": [{"name": name, "bytes": size} for name, size in image.sources.more_arenas],
            "arena_waits": list(image.sources.arena_waits),
            "compacted": findings.compacted,
        }
        report["tuning"] = {"measured_candidates": findings.measured_candidates}
    if verification is not None:
        mismatch = verification.first_mismatch
        report["verify"] = {
            "samples": verification.samples,
            "steps": verification.steps,
            "bit_exact": verification.bit_exact,
            "max_difference_to_onnx": verification.max_difference_to_onnx,
            "first_mismatch": None if mismatch is None else str(mismatch),
            "tolerance": verification.tolerance,
            "max_relative_difference": verification.max_relative_difference,
        }
    return report


def _latency(measurement: Measurement) -> dict[str, Any] | None:
    latency = measurement.latency
    if latency is None:
        return None
    return {
        "instructions": latency.instructions,
        "cycles": latency.cycles,
        "cycles_model": latency.cycles_model,
        "cycles_error": latency.cycles_error,
        "ms": latency.ms,
        **measured_values(measurement),
    }


def measured_values(measurement: Measurement) -> dict[str, Any]:
    """What a board measured, as the report's `latency` shows it; null where none ran or it could not."""
    cycles = measurement.measured_cycles
    return {
        "measured_ms": measurement.measured_ms,
        "measured_cycles": max(cycles) if cycles else None,
        "measured_clock_hz": measurement.measured_clock_hz,
        "measured_note": measurement.measured_note,
    }


def _buffer(program: Program, buffer: Buffer) -> dict[str, Any]:
    """The steps are numbers of layers; those of a stage have its buffers in common."""
    layers = [
        index
        for index, layer in enumerate(program.layers)
        if buffer.first_step <= layer.step <= buffer.last_step
    ]
    return {
        "name": buffer.name,
        "tensors": list(buffer.tensors),
        "region": buffer.region,
        "offset": buffer.offset - program.part_start(buffer),
        "size": buffer.size_bytes,
        "first_step": layers[0] if layers else 0,
        "last_step": layers[-1] if layers else 0,
        "rows": _rows(program, buffer),
    }


def _rows(program: Program, buffer: Buffer) -> list[dict[str, Any]]:
    """What a stage's scratch holds besides that of its kernels: rows of the tensors between its layers."""
    stages = (step.candidate for step in program.steps if step.scratch is buffer)
    lines = [line for one in stages if isinstance(one, StageCandidate) for line in (one.lines or {}).values()]
    return [
        {"tensor": line.tensor.name, "held": line.held_rows, "of": len(line.offsets), "bytes": line.row_bytes}
        for line in lines
    ]


def _port(graph: Graph, tensor: Tensor) -> dict[str, Any]:
    layout = graph.layouts.get(tensor.name)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": DTYPES[tensor.dtype].name,
        "scale": None if tensor.quant is None else tensor.quant.scale[0],
        "zero_point": None if tensor.quant is None else tensor.quant.zero_point[0],
        "layout": None if layout is None else list(layout),
    }


def _host(host: HostLatency) -> dict[str, Any]:
    return {
        "onnxruntime_ms": _timed_pair(host.onnxruntime),
        "torch_ms": _timed_pair(host.torch),
        "threads": host.threads,
        "samples": host.samples,
    }


def _timed_pair(pair: TimedPair) -> dict[str, float]:
    return {"original": pair.original, "pruned": pair.pruned, "ratio": pair.ratio}


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "metric": accuracy.metric,
        "float": accuracy.original,
        "pruned": accuracy.pruned,
        "int8": accuracy.int8,
        "emulated": accuracy.emulated,
        "samples": accuracy.samples,
    }
