"""What a torch network must satisfy before anything is done with it, whichever file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["batch_of_one", "check_outputs", "check_values", "check_weights", "flat_tensors"]


def check_values(module: torch.nn.Module, where: str) -> None:
    """Refuse weights that are nothing but shapes.

    Raises:
        UsageError: a parameter or buffer is on the meta device.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_meta:
            raise UsageError(
                f"weight {name!r} of {where} is on the meta device and has no values: load them into the network"
            )


def check_weights(module: torch.nn.Module, where: str) -> None:
    """Refuse weights that no arithmetic can use.

    Raises:
        UsageError: a parameter or buffer holds NaN or infinity, or has no elements.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.numel() == 0:
            raise UsageError(f"weight {name!r} of {where} has no elements (shape {list(tensor.shape)})")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UsageError(
                f"weight {name!r} of {where} holds NaN or infinite values: train or save it again"
            )


def batch_of_one(example: Any, where: str) -> tuple[torch.Tensor, ...]:
    """Example inputs as a tuple of tensors on the CPU, floating point as float32, the batch cut to one sample.

    Raises:
        UsageError: `example` is not a tensor or a tuple of tensors, or one is empty or a scalar.
    """
    import torch

    tensors = tuple(example) if isinstance(example, tuple | list) else (example,)
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            raise UsageError(
                f"{where} gives a {type(tensor).__name__}: a tensor or a tuple of tensors is needed"
            )
        if tensor.dim() == 0 or tensor.numel() == 0:
            raise UsageError(
                f"{where} gives a tensor of shape {list(tensor.shape)}: a batch of one sample is needed"
            )
    first = (tensor.detach().cpu()[:1].clone() for tensor in tensors)
    return tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in first)


def check_outputs(module: torch.nn.Module, inputs: Sequence[torch.Tensor], where: str) -> None:
    """Run the network once on its example.

    Raises:
        UsageError: it returns something other than tensors, or an empty one.
    """
    import torch

    with torch.no_grad():
        outputs = flat_tensors(module(*inputs), where)
    for output in outputs:
        if output.numel() == 0:
            raise UsageError(f"{where} returns a tensor without elements (shape {list(output.shape)})")


def flat_tensors(output: Any, where: str) -> tuple[torch.Tensor, ...]:
    """A network's result as a flat tuple of tensors; nested tuples and dictionaries are opened in order.

    Raises:
        UsageError: something in it is not a tensor.
    """
    import torch

    if isinstance(output, torch.Tensor):
        return (output,)
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return tuple(tensor for item in output for tensor in flat_tensors(item, where))
    raise UsageError(f"{where} returns a {type(output).__name__}: a tensor or a tuple of tensors is needed")
