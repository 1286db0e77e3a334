"""The whole product on one screen: from a trained network to a verified C library that fits.

Each stage is a function from one frozen value to the next; to learn how one works, open its package:

    model      recipe.py / .onnx / .pt2 -> Model
    prune      which channels may go, which should (with plan.costs), and taking them out
    train      winning back the accuracy
    quantize   Model -> QDQ ONNX, int8
    graph      QDQ ONNX -> Graph, simplified; every operator's definition is in ops
    tune       with --tune, what each kernel candidate takes in the emulator
    kernels    ways to compute a layer, each with its proof and its cost; tvm has those for float32
    plan       Graph -> Program: order, kernels, stages of rows, addresses
    codegen    Program -> C sources, and packages of them
    firmware   C sources -> linked image and its sizes
    emulate    image -> outputs, instructions, stack
    runners    the emulator, or a board in its place
    verify     outputs = NumPy reference = host library, byte for byte; in float32 within 1e-4
    report     what was found, as values, in the terminal and as a page

`compress` holds the loop that prunes until the linked and executed result fits, and `prove` the proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune.bundle import Contents, bundle_files, scratch_directory, staged_directory, write_files
from edgeprune.codegen.packages import check_packages, render_all
from edgeprune.compress import Network, checkpoints, compress
from edgeprune.config import Budget, Settings
from edgeprune.device import Device, load_device
from edgeprune.errors import OverBudget, UsageError
from edgeprune.float_network import FloatNetwork, float_network
from edgeprune.kernels.base import families
from edgeprune.model import Model, load_model, with_stepping
from edgeprune.plan import Program
from edgeprune.progress import Progress, SilentProgress
from edgeprune.prove import Proof, prove
from edgeprune.report import Findings, deploy_command, make_report
from edgeprune.runners import bundle_project, check_core, choose_runner, wants_project
from edgeprune.seeding import seeded
from edgeprune.unused_options import refuse_unused
from edgeprune.verdict import OverResolvedBudget
from edgeprune.verify.choose_samples import choose_samples, given_samples

__all__ = ["Deployment", "deploy"]


@dataclass(frozen=True, eq=False)
class Deployment:
    """What `deploy` made. `directory` is the bundle, or None when nothing fits; then `report["reason"]` says why."""

    report: dict[str, Any]
    directory: Path | None


def deploy(settings: Settings, progress: Progress | None = None) -> Deployment:
    """The whole job: prune until it fits, quantise, generate, link, run, verify, and write the bundle.

    Raises:
        VerificationFailed: a build differs from the reference, or the emulator hung.
        UsageError, EnvironmentFailure, MissingTool: see their classes.
    """
    with seeded(settings.seed, with_torch=settings.model.suffix != ".onnx"):
        return _deploy(settings, progress or SilentProgress())


def _deploy(settings: Settings, progress: Progress) -> Deployment:
    device = load_device(settings.device)
    check_packages(settings.package)
    budget = settings.budget(device.flash_bytes, device.all_ram_bytes)
    if budget.latency_ms is not None and device.emulator is None:
        raise UsageError(f"{device.name} has no latency to keep: leave out --latency")
    runner = choose_runner(settings.runner, settings.port)
    runner.check(device)
    with progress.task(f"reading {settings.model.name}"):
        model = with_stepping(load_model(settings.model), settings.state, settings.frames)
        refuse_unused(settings, model, device)
        given = given_samples(model, settings.data, settings.samples)
    place = settings.output or Path("build") / f"{model.name}-{device.name}"
    asks_firmware = wants_project(place, settings.board_firmware)
    if asks_firmware:
        check_core(device)
    if asks_firmware or settings.runner != "qemu":
        # The firmware for boards lies in one memory, with all that it runs.
        device = device.with_one_ram()
        budget = settings.budget(device.flash_bytes, device.ram_bytes)
    try:
        with (
            checkpoints(settings, model, place, progress) as kept,
            staged_directory(place) as bundle,
            scratch_directory() as scratch,
        ):
            network = compress(model, device, budget, settings, kept, scratch, progress)
            samples = choose_samples(model, network.build.graph, given, settings.samples, settings.seed)
            proof = prove(network.build, model, network.pruned, samples, scratch, progress, runner)
            in_float = float_network(model, network.pruned, progress)
            findings = _findings(settings, model, device, network, proof, in_float)
            report = make_report(replace(findings, command=deploy_command(settings)))
            write_files(bundle, bundle_files(_contents(network, proof, in_float, report, settings, place)))
    except OverBudget as error:
        held = error.budget if isinstance(error, OverResolvedBudget) else budget
        missed = _over_budget(settings, model, device, held, error)
        return Deployment(make_report(replace(missed, command=deploy_command(settings))), None)
    return Deployment(report, place)


def _contents(
    network: Network,
    proof: Proof,
    in_float: FloatNetwork,
    report: dict[str, Any],
    settings: Settings,
    place: Path,
) -> Contents:
    own_device = Path(settings.device)
    image, stack_bytes = network.build.image, proof.measurement.stack_bytes
    return Contents(
        library=network.build.sources.contents,
        onnx=network.build.onnx,
        inputs=proof.inputs,
        outputs=proof.measurement.outputs,
        report=report,
        device_toml=own_device.read_text(encoding="utf-8") if own_device.is_file() else None,
        firmware=bundle_project(image, stack_bytes, place, settings.board_firmware),
        float_files=in_float.files,
        packages=render_all(settings.package, network.build.sources, network.build.image.device),
    )


def _findings(
    settings: Settings, model: Model, device: Device, network: Network, proof: Proof, in_float: FloatNetwork
) -> Findings:
    return Findings(
        model=_about(model),
        device=device,
        budget=network.budget,
        fits=True,
        backend=_backend(network.build.program),
        dtype=settings.dtype,
        program=network.build.program,
        compacted=network.build.compacted,
        measured_candidates=network.build.measured_candidates,
        image=network.build.image,
        measurement=proof.measurement,
        verification=proof.verification,
        accuracy=proof.accuracy,
        pruning=replace(network.pruning, lossless_channels=network.build.lossless_channels),
        host=in_float.host,
    )


def _backend(program: Program) -> str:
    """Where the kernels came from: "c", "tvm", or "auto" where both have some."""
    sources = {families()[layer.candidate.family].source for layer in program.layers}
    return sources.pop() if len(sources) == 1 else ("auto" if sources else "c")


def _over_budget(
    settings: Settings, model: Model, device: Device, budget: Budget, error: OverBudget
) -> Findings:
    backend = "tvm" if settings.dtype == "float32" else "c"
    about = _about(model)
    return Findings(
        about, device, budget, False, backend, settings.dtype, nearest=error.nearest, reason=str(error)
    )


def _about(model: Model) -> dict[str, Any]:
    return {"name": model.name, "file": model.path.name, "kind": model.kind}
