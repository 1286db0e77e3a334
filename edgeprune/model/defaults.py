"""The loss and metric of a recipe that defines none: those of classification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError
from edgeprune.model.data import training_batches

if TYPE_CHECKING:
    import torch

__all__ = ["cross_entropy", "top1_accuracy"]

_NO_LABEL = -100


def cross_entropy(output: Any, labels: Any) -> torch.Tensor:
    """Mean cross-entropy of logits [N, C] or [N, C, ...] and integer labels [N] or [N, ...]; -100 is no label.

    Raises:
        UsageError: output and labels do not have those shapes and types, or a label is none of the classes.
    """
    import torch

    _check_classification(output, labels, "loss")
    outside = ((labels < 0) & (labels != _NO_LABEL)) | (labels >= output.shape[1])
    if bool(outside.any()):
        raise UsageError(
            f"label {int(labels[outside][0])} names no class: the network's {output.shape[1]} outputs are the"
            f" classes 0 to {output.shape[1] - 1}"
        )
    return torch.nn.functional.cross_entropy(output, labels.long())


def top1_accuracy(model: torch.nn.Module, data: Iterable[Any]) -> float:
    """Share of the samples whose largest output [N, C] is the one their label [N] names, in 0..1.

    Raises:
        UsageError: outputs and labels do not have those shapes and types, or there are no samples.
    """
    import torch

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    hits = samples = 0
    with torch.no_grad():
        for inputs, labels in training_batches(data):
            placed = (tensor.to(device) for tensor in inputs)
            output = model(*(value.float() if value.is_floating_point() else value for value in placed)).cpu()
            _check_classification(output, labels, "metric")
            hits += int((output.argmax(1) == labels).sum())
            samples += labels.numel()
    if samples == 0:
        raise UsageError("the recipe's data has no batches to measure accuracy on")
    return hits / samples


def _check_classification(output: Any, labels: Any, wanted: str) -> None:
    import torch

    fits = (
        isinstance(output, torch.Tensor)
        and isinstance(labels, torch.Tensor)
        and not labels.is_floating_point()
        and output.dim() >= 2
        and labels.shape == output.shape[:1] + output.shape[2:]
    )
    if not fits:
        described = [
            f"{list(item.shape)} {item.dtype}" if isinstance(item, torch.Tensor) else type(item).__name__
            for item in (output, labels)
        ]
        raise UsageError(
            f"the default {wanted} takes outputs [N, C] and integer labels [N], not {described[0]} and"
            f" {described[1]}: define {wanted}() in the recipe"
        )
