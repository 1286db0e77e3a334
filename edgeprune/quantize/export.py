"""A torch module as a float ONNX model with static shapes, batch 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgeprune.errors import UsageError
from edgeprune.model.quiet import quiet_libraries

if TYPE_CHECKING:
    import torch

__all__ = ["OPSET", "capture", "export_float", "export_program"]

OPSET = 20
"""The first opset with Gelu, and the exporter's default."""


def export_float(module: torch.nn.Module, example_inputs: Sequence[torch.Tensor], name: str) -> ir.Model:
    """Export `module` with its operators whole: LSTM, LayerNormalization and the like are not taken apart.

    The model's inputs are named "input" or "input_0" ..., its outputs "output" or "output_0" ....

    Raises:
        UsageError: the module cannot be captured by torch.export, or has an operator without ONNX form.
    """
    return export_program(capture(module, example_inputs, name), name)


def capture(
    module: torch.nn.Module, example_inputs: Sequence[torch.Tensor], name: str
) -> torch.export.ExportedProgram:
    """`module` in evaluation mode as a program of ATen operators, batch 1.

    Raises:
        UsageError: the module cannot be captured by torch.export.
    """
    import torch

    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    inputs = tuple(tensor[:1].detach().to(device) for tensor in example_inputs)
    module.eval()
    with quiet_libraries():
        try:
            return torch.export.export(module, inputs, strict=False)
        except Exception as error:  # tracing runs the user's forward, which may raise anything
            raise UsageError(
                f"model {name!r} cannot be captured by torch.export ({_line(error)}): its forward() must not branch"
                " on the values of tensors"
            ) from error


def export_program(program: torch.export.ExportedProgram, name: str) -> ir.Model:
    """The ONNX model of a captured program; see `export_float`."""
    import torch

    inputs = _numbered("input", len(program.graph_signature.user_inputs))
    outputs = _numbered("output", len(program.graph_signature.user_outputs))
    with quiet_libraries():
        try:
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                optimize=True,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            raise UsageError(f"model {name!r} has no ONNX form: {_cause(error)}") from error
    assert exported is not None
    return exported.model


def _numbered(stem: str, count: int) -> list[str]:
    return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _cause(error: BaseException) -> str:
    """The first line of the exception at the bottom of a chain: the exporter wraps what it could not convert."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _line(error)
