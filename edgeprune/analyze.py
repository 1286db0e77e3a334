"""`edgeprune analyze`: what a network costs per layer, and what would also fit, without building anything."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.compile import lower
from edgeprune.compress.builder import int8_onnx
from edgeprune.config import Settings
from edgeprune.device import Device, device_names, load_device
from edgeprune.graph.ir import Graph
from edgeprune.model import load_model, with_stepping
from edgeprune.plan import Objective, Program, plan
from edgeprune.progress import Progress, SilentProgress

__all__ = ["Alternative", "Analysis", "LayerEstimate", "analyze"]

_OBJECTIVES = ("latency", "ram", "flash")


@dataclass(frozen=True)
class LayerEstimate:
    """One step of the plan: estimates by the kernels' cost models, and bytes alive while it runs."""

    name: str
    op: str
    kernel: str
    shape: tuple[int, ...]
    macs: int
    cycles: int
    flash_bytes: int
    alive_bytes: int


@dataclass(frozen=True)
class Alternative:
    """The same network under another objective or on another device."""

    device: str
    optimize: str
    flash_bytes: int
    arena_bytes: int
    ms: float | None
    fits: bool


@dataclass(frozen=True)
class Analysis:
    """Estimates for one device, per layer and in total, and the alternatives."""

    model: str
    device: str
    layers: tuple[LayerEstimate, ...]
    macs: int
    parameters: int
    chosen: Alternative
    alternatives: tuple[Alternative, ...]


def analyze(settings: Settings, progress: Progress | None = None) -> Analysis:
    """Plan the unpruned network for its device under every objective, and for every other device.

    Raises:
        UsageError: the model cannot be read or lowered.
    """
    progress = progress or SilentProgress()
    device, model = load_device(settings.device), load_model(settings.model, needs_data=False)
    model = with_stepping(model, settings.state, settings.frames)
    others = [load_device(name) for name in device_names() if name != device.name]
    with progress.task(f"analyzing {model.name}", 2 + len(_OBJECTIVES)) as task:
        graph = lower(int8_onnx(model, settings, progress, quick=True), model.name, backend=settings.backend)
        task.advance(1, "planning")
        goals = (settings.optimize, *(goal for goal in _OBJECTIVES if goal != settings.optimize))
        programs = []
        for goal in goals:
            programs.append(plan(graph, device, Objective(goal)))
            task.advance(1)
        alternatives = [
            _alternative(program, device, goal) for program, goal in zip(programs, goals, strict=True)
        ]
        # Kernels and their costs follow from the core, so devices of one core share a plan.
        shared = {_kernel_set(device): programs[0]}
        for other in others:
            if _kernel_set(other) not in shared:
                shared[_kernel_set(other)] = plan(graph, other, Objective(settings.optimize))
            alternatives.append(_alternative(shared[_kernel_set(other)], other, settings.optimize))
        task.advance(1)
    layers = _layers(programs[0])
    return Analysis(
        model.name,
        device.name,
        layers,
        sum(row.macs for row in layers),
        _parameters(graph),
        alternatives[0],
        tuple(alternatives[1:]),
    )


def _layers(program: Program) -> tuple[LayerEstimate, ...]:
    return tuple(
        LayerEstimate(
            step.name,
            "+".join(node.op for node in step.nodes),
            step.candidate.name,
            step.nodes[-1].output.shape,
            step.macs,
            step.candidate.cycles,
            step.candidate.flash_bytes,
            sum(b.size_bytes for b in program.buffers if b.first_step <= index <= b.last_step),
        )
        for index, step in enumerate(program.steps)
    )


def _kernel_set(device: Device) -> tuple[str, bool, bool]:
    return device.core, device.dsp, device.fpu


def _alternative(program: Program, device: Device, optimize: str) -> Alternative:
    flash = sum(step.candidate.flash_bytes for step in program.steps)
    cycles = sum(step.candidate.cycles for step in program.steps)
    ms = None if device.emulator is None else 1000 * cycles / device.clock_hz
    fits = flash <= device.flash_bytes and program.fits_memories
    return Alternative(device.name, optimize, flash, program.arena_bytes, ms, fits)


def _parameters(graph: Graph) -> int:
    return sum(tensor.elements for tensor in graph.tensors() if tensor.value is not None)
