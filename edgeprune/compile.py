"""From an int8 ONNX file to a built library with its cost: the stages that need no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.codegen import Sources, generate
from edgeprune.config import TvmOutput
from edgeprune.cycles import with_cycles
from edgeprune.device import Device, load_device
from edgeprune.emulate import Measurement
from edgeprune.errors import UsageError
from edgeprune.firmware import Image, build
from edgeprune.golden import golden_inference
from edgeprune.graph.ir import Array, Graph
from edgeprune.graph.islands import in_float
from edgeprune.graph.onnx_import import byte_input_of, import_onnx, import_plain
from edgeprune.graph.passes import (
    by_frames,
    compact,
    fuse_clamps,
    keep_states,
    remove_dead,
    remove_identities,
    simplify,
    take_bytes,
)
from edgeprune.graph.verify import verify
from edgeprune.ops import operator_for
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.kept import with_copies
from edgeprune.progress import Progress
from edgeprune.runners import QemuRunner, Runner
from edgeprune.stepping import Stepping, stepping_of
from edgeprune.tune import tune
from edgeprune.verdict import Cost

__all__ = ["Build", "compile_network", "lower", "measure"]


@dataclass(frozen=True, eq=False)
class Build:
    """A network from its int8 ONNX file to the linked image."""

    onnx: bytes
    whole: Graph
    """The network with all its channels; `graph` is the same without those that are constant."""
    graph: Graph
    program: Program
    sources: Sources
    host_sources: Sources
    """The same library for the development machine: other sources only where kernels are machine code."""
    image: Image
    sequence: Graph | None = None
    """The network that takes a whole sequence, of which `graph` takes a frame; None where it is none such."""
    measured_candidates: int = 0
    """How many kernel candidates were measured before the plan chose among them."""

    @property
    def compacted(self) -> bool:
        """Whether `graph` is without the channels that are constant."""
        return self.graph is not self.whole

    @property
    def lossless_channels(self) -> int:
        """Output channels that were constant, and were taken out exactly."""
        return compact.removed_channels(self.whole, self.graph)


def lower(
    onnx: bytes, name: str, *, dtype: str = "int8", compacted: bool = True, backend: str = "auto"
) -> Graph:
    """The graph of an ONNX model: int8, simplified and, where `compacted`, without channels that are constant.

    It takes bytes, and keeps states between runs, where the file says so. Operators without an integer form are in
    float32, unless the `backend` is "c". In float32, the graph of the model as it is.
    """
    whole = _imported(onnx, name, dtype, backend)
    shrinks = compacted and dtype == "int8"
    return _by_steps(compact.run(whole) if shrinks else whole, stepping_of(onnx))


def _imported(onnx: bytes, name: str, dtype: str, backend: str) -> Graph:
    """The simplified graph of what one run of the ONNX model computes."""
    if dtype == "float32":
        return remove_dead.run(import_plain(onnx, name))
    whole = simplify(import_onnx(onnx, name, islands=backend != "c"))
    return take_bytes.run(whole, byte_input_of(onnx))


def _by_steps(graph: Graph, stepping: Stepping) -> Graph:
    """`graph` with what `stepping` keeps between runs, and copies where no node stores a state in place.

    Raises:
        UsageError: its states are none, or it cannot run frame by frame, or a layer that would keep them is in float.
    """
    if stepping.is_whole:
        return graph
    soft = next((node for node in graph.nodes if in_float(node)), None)
    if soft is not None:
        title = operator_for(soft).title(soft)
        raise UsageError(
            f"a network that keeps states must be in int8 throughout, and {title} node {soft.name!r} has no int8 form"
        )
    if not stepping.frames:
        return verify(with_copies(keep_states.run(graph, stepping.states)))
    # What was cut off behind a layer went with its frames: clamps meet their producers again.
    return verify(with_copies(fuse_clamps.run(remove_identities.run(by_frames.run(graph)))))


def compile_network(
    onnx: bytes,
    name: str,
    device: Device,
    objective: Objective,
    directory: Path,
    progress: Progress,
    *,
    compacted: bool = True,
    tuned: bool = False,
    dtype: str = "int8",
    stream_input: bool = False,
    backend: str = "auto",
    tvm_output: TvmOutput = "source",
) -> Build:
    """Lower, plan, generate and link; sources and images go to `directory`.

    Where `tuned`, the plan knows what every candidate takes as run in the emulator. With `stream_input` the library
    takes the input row by row. With the `tvm_output` "object" TVM's kernels are machine code.

    Raises:
        UsageError: the model cannot be lowered, or has none of those kernels.
    """
    machine = device if tvm_output == "object" else None
    with progress.task("compiling", 4) as task:
        imported, stepping = _imported(onnx, name, dtype, backend), stepping_of(onnx)
        narrow = compact.run(imported) if compacted and dtype == "int8" else imported
        whole = _by_steps(imported, stepping)
        graph = whole if narrow is imported else _by_steps(narrow, stepping)
        measured = tune(graph, device, directory, progress, machine) if tuned else {}
        task.advance(1, "planning")
        program = plan(graph, device, objective, measured, stream_input=stream_input)
        task.advance(1, "generating C")
        golden = golden_inference(graph)
        sources = generate(program, name, golden, machine)
        if machine is not None and not sources.archives:
            raise UsageError("no kernel of this network comes from TVM: leave out --tvm-output object")
        for_host = generate(program, name, golden, load_device("host")) if sources.archives else sources
        task.advance(1, "linking")
        image = build(sources, device, directory)
        task.advance(1, "linked")
    sequence = narrow if stepping.frames else None
    return Build(onnx, whole, graph, program, sources, for_host, image, sequence, len(measured))


def measure(
    built: Build, inputs: tuple[Array, ...], progress: Progress, runner: Runner | None = None
) -> tuple[Measurement, Cost]:
    """Run the image on stored `inputs` [N, *shape], and what it takes by DESIGN's definition of a budget.

    Without `runner` it runs in the emulator.
    """
    found = (runner or QemuRunner()).run(built.image, inputs, progress=progress)
    measurement = with_cycles(found, built.image, inputs, progress=progress)
    sizes = built.image.sizes
    ram = built.program.arena_bytes + sizes.context_bytes + sizes.static_bytes + measurement.stack_bytes
    latency = None if measurement.latency is None else measurement.latency.ms
    program = built.program
    return measurement, Cost(sizes.flash_bytes, ram, latency, program.macs, program.parameters)
