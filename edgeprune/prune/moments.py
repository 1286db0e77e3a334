"""Second moments of what layers read and of what they answer, gathered over calibration data.

All that a least-squares fit of a layer's weights needs: for a convolution or linear layer, every output is a sum over
the patch that it reads, y = W x + b, and the best W for any subset of the patch follows from E[x x'] and E[x y'].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.prune.calibration import Batch, Calibration

__all__ = ["Answers", "Moments", "Weighted", "answers", "fittable", "loss_curvature", "moments", "weighted"]

Weighted: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Linear
"""Layers whose output is linear in patches of their input."""

Answers: TypeAlias = Mapping[str, Sequence[torch.Tensor]]
"""Per layer and call, outputs at sampled positions, [rows, output channels]."""

_ROWS = 16384
"""About how many patches a layer is fitted to, spread evenly over the batches."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows of x x' and x y', by group of a grouped convolution, in double precision.

    `gram` is [groups, patch, patch] and `cross` [groups, patch, outputs of a group]. A patch lists the weight's
    entries [input channel, *kernel] in order, and at last a one where the layer has a bias.
    """

    gram: torch.Tensor
    cross: torch.Tensor


def fittable(module: nn.Module) -> Mapping[str, Weighted]:
    """The layers whose weights may be fitted: of a known kind, trainable, and their weight in no other layer's use."""
    uses: dict[int, int] = {}
    for part in module.modules():
        for value in part._parameters.values():
            if value is not None:
                uses[id(value)] = uses.get(id(value), 0) + 1
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear))
        and "weight" in layer._parameters
        and all(value.requires_grad and uses[id(value)] == 1 for value in layer.parameters(recurse=False))
    }


def weighted(module: nn.Module, name: str) -> Weighted:
    """The layer of `module` called `name`, which must be of a kind that can be fitted."""
    layer = module.get_submodule(name)
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        raise TypeError(f"{name} is a {type(layer).__name__}")
    return layer


@torch.no_grad()
def answers(module: nn.Module, names: Collection[str], batches: Sequence[Batch]) -> Answers:
    """What the layers called `names` answer, in the order in which they are first called."""
    found: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, layer: Weighted, _: torch.Tensor, output: torch.Tensor) -> None:
        calls = found.setdefault(name, [])
        rows = _rows(layer, output, len(batches), len(calls))
        calls.append(_outputs(layer, output)[rows].clone())

    _observe(module, names, batches, keep)
    return found


@torch.no_grad()
def moments(module: nn.Module, wanted: Answers, batches: Sequence[Batch]) -> Mapping[str, Moments]:
    """Moments of what layers of `module` read against `wanted`, the answers that they should give.

    `module` must have been run on the same batches with activations of the same shapes to give `wanted`.
    """
    found: dict[str, Moments] = {}
    calls: dict[str, int] = {}
    in_a_run = {name: len(parts) // len(batches) for name, parts in wanted.items()}

    def add(name: str, layer: Weighted, value: torch.Tensor, output: torch.Tensor) -> None:
        at = calls.get(name, 0)
        calls[name] = at + 1
        rows = _rows(layer, output, len(batches), at)
        patches, targets = _patches(layer, value, output, rows), wanted[name][at]
        targets = targets.reshape(len(targets), patches.shape[0], -1).movedim(1, 0)
        gram, cross = patches.mT @ patches, patches.mT @ targets
        before = found.get(name)
        found[name] = Moments(
            gram.double() + (before.gram if before else 0.0),
            cross.double() + (before.cross if before else 0.0),
        )
        runs = {calls.get(other, 0) / times for other, times in in_a_run.items()}
        if len(runs) == 1 and runs.pop().is_integer():
            raise _AllSeen

    _observe(module, wanted.keys(), batches, add)
    return found


class _AllSeen(Exception):
    """No layer that is left to run is observed, so the rest of the pass is saved."""


def _observe(
    module: nn.Module,
    names: Collection[str],
    batches: Sequence[Batch],
    see: Callable[[str, Weighted, torch.Tensor, torch.Tensor], None],
) -> None:
    """Run `module` in evaluation mode and show `see` what the layers called `names` read and answer."""

    def hook(name: str) -> Any:
        def seen(layer: Weighted, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
            see(name, layer, inputs[0], output)

        return seen

    handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    was_training = module.training
    module.eval()
    try:
        for inputs, _ in batches:
            with suppress(_AllSeen):
                module(*inputs)
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()


def _outputs(layer: Weighted, output: torch.Tensor) -> torch.Tensor:
    """[rows, output channels], rows being all positions of all samples."""
    last = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
    return last.reshape(-1, last.shape[-1])


def _rows(layer: Weighted, output: torch.Tensor, batches: int, call: int) -> torch.Tensor:
    """Which rows of an output are looked at: the same each time."""
    total = output.numel() // output.shape[-1 if isinstance(layer, nn.Linear) else 1]
    wanted = max(1, _ROWS // batches)
    if total <= wanted:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(call))[:wanted]


def _patches(layer: Weighted, value: torch.Tensor, output: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """What the outputs at `rows` are sums over: [groups, rows, patch]."""
    if isinstance(layer, nn.Linear):
        found = value.reshape(-1, value.shape[-1])[rows][None]
    else:
        found = _windows(layer, value, output, rows)
    if layer.bias is not None:
        found = torch.cat([found, found.new_ones(*found.shape[:2], 1)], 2)
    return found


def _windows(
    layer: nn.Conv1d | nn.Conv2d, value: torch.Tensor, output: torch.Tensor, rows: torch.Tensor
) -> torch.Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(value, layer._reversed_padding_repeated_twice, mode=mode)
    sizes = (len(output), *output.shape[2:])
    sample, *position = torch.unravel_index(rows, sizes)
    kernel = layer.kernel_size
    index: list[torch.Tensor] = [sample.reshape(-1, *(1,) * len(kernel))]
    for axis, at in enumerate(position):
        taps = at[:, None] * layer.stride[axis] + torch.arange(kernel[axis]) * layer.dilation[axis]
        shape = [len(rows)] + [1] * len(kernel)
        shape[1 + axis] = kernel[axis]
        index.append(taps.reshape(shape))
    last = padded.movedim(1, -1)[tuple(index)]
    channels = last.movedim(-1, 1).reshape(len(rows), layer.groups, -1)
    return channels.movedim(1, 0)


@torch.enable_grad()
def loss_curvature(
    module: nn.Module, names: Collection[str], calibration: Calibration
) -> Mapping[str, torch.Tensor]:
    """Per layer, how much the loss minds an error in each output channel: the mean square of its gradient there.

    The diagonal of the loss's Gauss-Newton approximation in a layer's outputs (Theis et al., 2018, section 2), up to
    a factor that is one for the whole network.
    """
    found: dict[str, torch.Tensor] = {}
    subject = copy.deepcopy(module).eval().requires_grad_(True)

    def hook(name: str) -> Any:
        def seen(layer: Weighted, _: tuple[Any, ...], output: torch.Tensor) -> None:
            def add(gradient: torch.Tensor) -> None:
                squares = _outputs(layer, gradient).double().square().sum(0)
                found[name] = found.get(name, torch.zeros_like(squares)) + squares

            output.register_hook(add)  # type: ignore[no-untyped-call]

        return seen

    for name in names:
        subject.get_submodule(name).register_forward_hook(hook(name))
    for inputs, target in calibration.batches:
        loss = calibration.loss(subject(*inputs), target) * len(inputs[0])
        torch.autograd.grad(loss, list(subject.parameters()), allow_unused=True)
    return found
