"""`edgeprune verify`: a finished bundle built, run and compared once more, from the files as they lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune.bundle import Contents, read_bundle, rewrite_report, scratch_directory
from edgeprune.codegen import Layer, Port, Sources
from edgeprune.compile import lower
from edgeprune.device import Device, load_device
from edgeprune.emulate import layer_outputs
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.firmware import build
from edgeprune.graph.ir import Graph
from edgeprune.graph.islands import has_islands
from edgeprune.progress import Progress, SilentProgress
from edgeprune.report import measured_values
from edgeprune.runners import QemuRunner, Runner
from edgeprune.verify import compare_given, compare_layers, reference_outputs, runs_to, verify_outputs

__all__ = ["Recheck", "bundle_device", "bundle_sources", "verify_bundle"]


@dataclass(frozen=True)
class Recheck:
    """What was compared: samples, and layers when they were (0 otherwise)."""

    samples: int
    layers: int
    device: str
    place: str
    steps: int = 1
    """Runs of each sample, which is a sequence where the network keeps states."""
    measured_ms: float | None = None
    measured_note: str | None = None


def verify_bundle(
    directory: Path,
    layer_by_layer: bool = False,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> Recheck:
    """Build the bundle's C again, run every stored sample, and compare with the reference computed anew.

    What a board measured goes into the bundle's report.

    Args:
        directory: The bundle.
        layer_by_layer: Also compare every layer's output on the first sample.
        progress: Where to report to.
        runner: What to run it on; the emulator by default.

    Raises:
        UsageError: there is no bundle, or it is damaged; the board has another library on it.
        EnvironmentFailure: the board does not answer.
        VerificationFailed: the first mismatch, named by layer and element.
    """
    progress, runner = progress or SilentProgress(), runner or QemuRunner()
    contents = read_bundle(directory)
    graph = bundle_graph(contents)
    sources = bundle_sources(contents, graph)
    islands = has_islands(graph)
    expected = contents.outputs if islands else reference_outputs(graph, contents.inputs, progress)
    stale = verify_outputs(graph, expected, [("the stored output", contents.outputs)])
    with scratch_directory() as scratch:
        device = bundle_device(contents, scratch)
        runner.check(device)
        image = build(sources, device, scratch / "firmware")
        measurement = runner.run(image, contents.inputs, progress=progress)
        where = f"the build for {device.name}" if isinstance(runner, QemuRunner) else runner.place
        mismatch = stale or verify_outputs(graph, expected, [(where, measurement.outputs)])
        if layer_by_layer or islands or mismatch is not None:
            sample = 0 if mismatch is None else mismatch.sample
            if mismatch is None:
                one = tuple(array[:1] for array in contents.inputs)
            else:
                one = runs_to(graph, contents.inputs, mismatch)
            layers = layer_outputs(image, one)
            compare = compare_given if islands else compare_layers
            first = compare(
                graph, sources, [a[0] for a in one], sample, layers, f"the build for {device.name}"
            )
            mismatch = first or mismatch
    if mismatch is not None:
        raise VerificationFailed(f"{mismatch}")
    checked = Recheck(
        len(contents.inputs[0]),
        len(sources.layers) if layer_by_layer else 0,
        device.name,
        runner.place,
        contents.inputs[0].shape[1] if graph.states else 1,
    )
    if measurement.measured_note is None:
        return checked
    latency = {**(contents.report["latency"] or {}), **measured_values(measurement)}
    rewrite_report(directory, {**contents.report, "latency": latency})
    return replace(checked, measured_ms=measurement.measured_ms, measured_note=measurement.measured_note)


def bundle_graph(contents: Contents) -> Graph:
    """The graph that a bundle's library computes."""
    report = contents.report
    compacted = bool(report["library"].get("compacted", True))
    return lower(contents.onnx, str(report["model"]["name"]), dtype=str(report["dtype"]), compacted=compacted)


def bundle_device(contents: Contents, scratch: Path) -> Device:
    """The device a bundle was made for; its own profile, if it has one, is written to `scratch`."""
    if contents.device_toml is None:
        return load_device(str(contents.report["device"]))
    profile = scratch / f"{contents.report['device']}.toml"
    profile.write_text(contents.device_toml, encoding="utf-8")
    return load_device(str(profile))


def bundle_sources(contents: Contents, graph: Graph) -> Sources:
    """The library's description, from the report and the graph; its texts are the files on disk."""
    report = contents.report
    tensors = {tensor.name: tensor for tensor in graph.tensors()}
    try:
        layers = tuple(
            Layer(row["name"], row["function"], tuple(tensors[name] for name in row["outputs"]))
            for row in report["layers"]
        )
        about: Mapping[str, Any] = report["library"]
        more = tuple((str(one["name"]), int(one["bytes"])) for one in about.get("more_arenas") or ())
        arena_bytes = int(report["ram"]["arena"]) - sum(size for _, size in more)
        arena_align = int(about["arena_align"])
        prefix = str(about["prefix"])
        files = {name: contents.library[name].decode() for name in about["files"]}
        archives = {name: contents.library[name] for name in about.get("archives", ())}
        stages, fed_rows = tuple(map(str, about.get("stages", ()))), int(about.get("fed_rows", 0))
        waits = tuple(map(int, about.get("arena_waits", ())))
    except KeyError as error:
        raise UsageError(f"the bundle's report does not describe its library: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise UsageError(f"the bundle's report does not describe its library: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the bundle's library is damaged: {error}") from error
    except ValueError as error:
        raise UsageError(f"the bundle's report does not describe its library: {error}") from error
    return Sources(
        prefix=prefix,
        files=files,
        inputs=tuple(Port(tensor, graph.layouts.get(tensor.name)) for tensor in graph.inputs),
        outputs=tuple(Port(tensor, graph.layouts.get(tensor.name)) for tensor in graph.outputs),
        layers=layers,
        arena_bytes=arena_bytes,
        arena_align=arena_align,
        stages=stages,
        fed_rows=fed_rows,
        more_arenas=more,
        arena_waits=waits,
        archives=archives,
        has_state=bool(graph.states),
    )
