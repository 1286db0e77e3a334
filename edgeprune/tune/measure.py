"""Building trial programs, running them in the emulator, and remembering what they took."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from edgeprune.codegen import Sources, generate
from edgeprune.cycles import with_cycles
from edgeprune.device import Device
from edgeprune.emulate import run
from edgeprune.emulate.plugin import cache_dir
from edgeprune.errors import OverBudget
from edgeprune.firmware import build
from edgeprune.firmware.toolchain import tool_version
from edgeprune.graph.ir import Graph
from edgeprune.plan import Program
from edgeprune.plan.measured import MeasuredCycles, candidate_key
from edgeprune.progress import Progress
from edgeprune.resources import resource_dir
from edgeprune.tune.trials import rivals, trial_programs
from edgeprune.version import __version__

__all__ = ["tune"]

_NAME = "tuning"
_PACKAGE = Path(__file__).resolve().parents[1]
_MEASURING = (_PACKAGE / "cycles", _PACKAGE / "emulate", _PACKAGE / "firmware")
"""The code that builds a trial, runs it and models its cycles; with the templates of firmware."""


def tune(
    graph: Graph, device: Device, directory: Path, progress: Progress, machine: Device | None = None
) -> MeasuredCycles:
    """Cycles of every candidate of the steps that have a choice, by the cycle model, as run in the emulator.

    What was measured before is taken from the user's cache: it is filed under the generated C, the device, the
    compiler, this version and the code that measures. Nothing is measured on a device that has no emulator.

    Args:
        graph: The network.
        device: What it is built for.
        directory: Where images go.
        progress: Told of every image.
        machine: What kernels are machine code for; see `codegen.generate`.

    Raises:
        VerificationFailed: a candidate hung or faulted.
        EnvironmentFailure, MissingTool: see their classes.
    """
    if device.emulator is None:
        return {}
    candidates = rivals(graph, device)
    found: dict[tuple[str, str], int] = {}
    with progress.task("measuring kernels", len(candidates)) as task:
        for number, program in enumerate(trial_programs(candidates, device)):
            cycles = _cycles(program, machine, directory / f"{_NAME}_{number}", progress)
            keys = [candidate_key(step.candidate) for step in program.steps]
            found |= dict(zip(keys, cycles, strict=True)) if cycles else {}
            task.advance(len(program.steps))
    return found


def _cycles(program: Program, machine: Device | None, directory: Path, progress: Progress) -> tuple[int, ...]:
    """Cycles of each step; none where the image turns out too large for the board, or cycles are not modelled."""
    sources = generate(program, _NAME, machine=machine)
    kept = _cache_file(sources, program.device)
    if kept.is_file():
        return tuple(json.loads(kept.read_text(encoding="utf-8")))
    try:
        image = build(sources, program.device, directory)
    except OverBudget:
        return ()
    zeros = tuple(np.zeros((1, *tensor.shape), tensor.dtype) for tensor in program.graph.inputs)
    latency = with_cycles(run(image, zeros), image, zeros, progress=progress).latency
    assert latency is not None
    _keep(kept, latency.layer_cycles)
    return latency.layer_cycles


def _cache_file(sources: Sources, device: Device) -> Path:
    measuring = code_digest((*_MEASURING, resource_dir("templates") / "firmware"))
    conditions = (__version__, repr(device), tool_version(device.compiler), measuring)
    digest = hashlib.sha256("\n".join(conditions).encode())
    for name, data in sorted(sources.contents.items()):
        digest.update(f"\n{name}\n".encode() + data)
    return cache_dir() / "tuning" / f"{digest.hexdigest()[:32]}.json"


@functools.cache
def code_digest(folders: tuple[Path, ...]) -> str:
    """What tells these folders' source files from other versions of them."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c", ".h", ".j2")):
            digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _keep(place: Path, cycles: tuple[int, ...]) -> None:
    """Write to the cache, whole or not at all; without a cache, the next run measures again."""
    beside = place.with_suffix(".part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(list(cycles)), encoding="utf-8")
        beside.replace(place)
    except OSError:
        beside.unlink(missing_ok=True)
