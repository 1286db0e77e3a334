"""Which of a model's inputs are what an earlier run left: what the user says, in the model's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.errors import UsageError
from edgeprune.model.data import input_specs
from edgeprune.model.model import Model
from edgeprune.model.torch_checks import flat_tensors
from edgeprune.stepping import Stepping, parse_states

__all__ = ["with_stepping"]


def with_stepping(model: Model, states: Sequence[str], frames: bool) -> Model:
    """`model` with the states that `states` name, each as INPUT=OUTPUT, or run frame by frame.

    Of an ONNX model the names are the file's; of another, `input_0`, `input_1` ... and `output_0`, `output_1` ... in
    the order of its arguments and results. Without `states`, those that a recipe declares.

    Raises:
        UsageError: a name is none of the model's, or both ways are asked for.
    """
    given = tuple(states) or model.declared_states
    if given and frames:
        raise UsageError("--frames finds the states of a network over sequences by itself: leave out --state")
    if not given:
        return replace(model, stepping=Stepping(frames=frames))
    inputs, outputs = _names(model)
    return replace(model, stepping=Stepping(parse_states(given, inputs, outputs, model.path.name)))


def _names(model: Model) -> tuple[list[str], list[str]]:
    if model.module is None:
        import onnx

        assert model.onnx is not None
        graph = onnx.load_model_from_string(model.onnx).graph
        return [spec.name for spec in input_specs(model)], [value.name for value in graph.output]
    import torch

    with torch.no_grad():
        results = flat_tensors(model.module(*model.example_inputs), model.path.name)
    return (
        [f"input_{number}" for number in range(len(model.example_inputs))],
        [f"output_{number}" for number in range(len(results))],
    )
