"""The float network of a bundle, for use off the microcontroller: as ONNX, as a torch program, as plain weights.

`load_pruned` makes an object of the user's own class of it again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.bundle import read_report
from edgeprune.errors import UsageError
from edgeprune.host_latency import HostLatency, host_latency
from edgeprune.model import Model, load_model
from edgeprune.model.quiet import quiet_libraries
from edgeprune.progress import Progress

if TYPE_CHECKING:
    import torch

    from edgeprune.prune import PruningPlan

__all__ = ["FloatNetwork", "float_network", "load_pruned"]

_ONNX, _PROGRAM, _STATE = "float.onnx", "float.pt2", "float_state.pt"


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """The files of a network by name, and how much faster than the original it is where channels were taken."""

    files: Mapping[str, bytes]
    host: HostLatency | None


def float_network(original: Model, pruned: Model | None, progress: Progress) -> FloatNetwork:
    """The float network that was deployed: `pruned`, or `original` where nothing was cut.

    An ONNX model has none: its own file is what there is.
    """
    deployed = pruned or original
    if deployed.module is None:
        return FloatNetwork({}, None)
    assert original.module is not None
    with progress.task("exporting the float network"):
        files = _files(deployed)
    if pruned is None or _size(deployed) == _size(original):
        return FloatNetwork(files, None)
    with progress.task("timing it on this machine"):
        whole = _onnx(_program(original), original.name)
        timed = host_latency(
            (original.module, whole), (deployed.module, files[_ONNX]), deployed.example_inputs
        )
    return FloatNetwork(files, timed)


def _size(model: Model) -> int:
    assert model.module is not None
    return sum(parameter.numel() for parameter in model.module.parameters())


def load_pruned(recipe_path: str | Path, bundle_directory: str | Path) -> torch.nn.Module:
    """The pruned float network of a bundle, as an object of the recipe's own classes, in evaluation mode.

    The recipe's network is made anew, cut where the bundle's report says, and given the bundle's weights.

    Args:
        recipe_path: The recipe that the bundle was deployed from.
        bundle_directory: The bundle.

    Raises:
        UsageError: one of the two is missing or damaged, or the bundle is of another network.
    """
    from edgeprune.prune import analyse, prune

    recipe, directory = Path(recipe_path), Path(bundle_directory)
    report = read_report(directory)
    model = load_model(recipe, needs_data=False)
    if recipe.suffix != ".py" or model.module is None:
        raise UsageError(f"{recipe} is not a recipe: only a recipe's network can be cut again")
    plan = _plan(report)
    module = model.module
    if plan.keep:
        ignored = report["pruning"].get("ignored", ())
        module = prune(module, analyse(module, model.example_inputs, ignored), plan)
    state = _state(directory / _STATE)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"the bundle {directory} is not of the network in {recipe}: {reason}") from error
    return module.eval()


def _plan(report: Mapping[str, Any]) -> PruningPlan:
    from edgeprune.prune import PruningPlan

    groups = (report["pruning"] or {}).get("groups", [])
    return PruningPlan({group["name"]: tuple(group["kept"]) for group in groups if group.get("kept")})


def _state(file: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged files fails in many ways
        raise UsageError(f"the bundle's {file} is missing or damaged: deploy the recipe again") from error
    return state


def _files(model: Model) -> dict[str, bytes]:
    import torch

    assert model.module is not None
    state = {
        name: value.detach().cpu().clone()  # a view would be saved with all that it is a view of
        for name, value in model.module.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    weights, archive = io.BytesIO(), io.BytesIO()
    torch.save(state, weights)
    program = _program(model)
    with quiet_libraries():
        torch.export.save(program, archive)
    return {
        _ONNX: _onnx(program, model.name),
        _PROGRAM: archive.getvalue(),
        _STATE: weights.getvalue(),
    }


def _program(model: Model) -> torch.export.ExportedProgram:
    """The network as a captured program, without the source lines that torch notes beside each operator."""
    from edgeprune.quantize.export import capture

    assert model.module is not None
    program = capture(model.module, model.example_inputs, model.name)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _onnx(program: torch.export.ExportedProgram, name: str) -> bytes:
    """The program as ONNX, its nodes called after the layers of the network, without the exporter's notes."""
    from edgeprune.quantize.export import export_program
    from edgeprune.quantize.names import name_nodes
    from edgeprune.quantize.run import serialize

    network = export_program(program, name)
    name_nodes(network.graph)
    for node in network.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*network.graph.inputs, *network.graph.initializers.values()):
        value.metadata_props.clear()
    return serialize(network)
