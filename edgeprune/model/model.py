"""The model a run starts from, as a frozen value, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.graph.ir import Array
from edgeprune.stepping import Stepping

if TYPE_CHECKING:
    import torch

__all__ = ["Dataset", "Model", "Training"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs for calibration or verification: one float32 (or int) array [N, *shape] per model input, labels [N]."""

    inputs: tuple[Array, ...]
    labels: Array | None = None

    @property
    def samples(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True, eq=False)
class Training:
    """What a recipe brings to train and judge its network (DESIGN.md section 10)."""

    train_data: Callable[[], Iterable[Any]]
    test_data: Callable[[], Iterable[Any]]
    loss: Callable[[Any, Any], torch.Tensor]
    metric: Callable[[torch.nn.Module, Iterable[Any]], float]
    metric_name: str
    higher_is_better: bool
    fine_tune: Callable[..., torch.nn.Module] | None


@dataclass(frozen=True, eq=False)
class Model:
    """A network: either a torch module with example inputs, or an ONNX file's bytes (int8 or float).

    `module` and `onnx` exclude each other. `kind` is "torch", "onnx-int8" or "onnx-float". `stepping` is what it keeps
    between runs.
    """

    name: str
    path: Path
    kind: str
    module: torch.nn.Module | None = None
    example_inputs: tuple[torch.Tensor, ...] = ()
    onnx: bytes | None = None
    training: Training | None = None
    stepping: Stepping = field(default_factory=Stepping)
    declared_states: tuple[str, ...] = ()
    """The states that a recipe declares, each as INPUT=OUTPUT."""
