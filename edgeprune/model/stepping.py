"""Which of a model's inputs are what an earlier run left: what the user says, in the model's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Shape
from edgeprune.model.data import all_inputs
from edgeprune.model.model import Model
from edgeprune.model.torch_checks import flat_tensors
from edgeprune.stepping import Stepping, parse_states, stepping_of

__all__ = ["with_stepping"]


def with_stepping(model: Model, states: Sequence[str], frames: bool) -> Model:
    """`model` with the states that `states` name, each as INPUT=OUTPUT, or run frame by frame.

    Of an ONNX model the names are the file's; of another, `input_0`, `input_1` ... and `output_0`, `output_1` ... in
    the order of its arguments and results. Without `states`, those that a recipe declares, or an ONNX file that an
    earlier deployment wrote.

    Raises:
        UsageError: a name is none of the model's, a state's ends differ, both ways are asked for, or the file says
            another thing.
    """
    given = tuple(states) or model.declared_states
    said = Stepping() if model.onnx is None else stepping_of(model.onnx)
    if not said.is_whole and (given or (frames and not said.frames)):
        raise UsageError(
            f"{model.path.name} says by itself what it keeps between runs: leave out --state and --frames"
        )
    if not said.is_whole:
        return replace(model, stepping=said)
    if given and frames:
        raise UsageError("--frames finds the states of a network over sequences by itself: leave out --state")
    if not given:
        return replace(model, stepping=Stepping(frames=frames))
    inputs, outputs = _ends(model)
    pairs = parse_states(given, list(inputs), list(outputs), model.path.name)
    for before, after in pairs:
        (old, was), (new, becomes) = list(inputs.items())[before], list(outputs.items())[after]
        if was != becomes:
            raise UsageError(
                f"the state {old!r} is {list(was)} and {new!r}, which it becomes, is {list(becomes)}: "
                "both must be of one shape"
            )
    return replace(model, stepping=Stepping(pairs))


def _ends(model: Model) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Shapes of the model's inputs and outputs, their batch axis left out, by name."""
    inputs = {spec.name: spec.shape for spec in all_inputs(model)}
    if model.module is None:
        import onnx

        assert model.onnx is not None
        graph = onnx.load_model_from_string(model.onnx).graph
        return inputs, {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:]
            for value in graph.output
        }
    import torch

    with torch.no_grad():
        results = flat_tensors(model.module(*model.example_inputs), model.path.name)
    return inputs, {f"output_{number}": tuple(tensor.shape[1:]) for number, tensor in enumerate(results)}
