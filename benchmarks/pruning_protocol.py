"""The protocol under which pruning methods are compared: data, fine-tuning, accuracy and the count of products.

ResNet-8 on CIFAR-10, pruned to a share of its multiply-accumulates and fine-tuned by 200 steps of 128 images in
total: SGD with Nesterov's momentum 0.9, weight decay 5e-4, one cycle of the learning rate that peaks at 0.02, random
crops after padding by 4 and flips, cross-entropy. A method that prunes in rounds spends these same steps, along the
same cycle. Test images are seen once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.model import Model, load_model

__all__ = ["Bench", "Descent", "Schedule", "accuracy", "augmented", "load_bench", "products"]

_BATCH = 250


@dataclass(frozen=True)
class Schedule:
    """How all methods are trained."""

    steps: int = 200
    batch: int = 128
    peak_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4


@dataclass(frozen=True, eq=False)
class Bench:
    """The recipe as a model, and its images [N, 3, 32, 32] with labels [N]."""

    model: Model
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]

    @property
    def network(self) -> nn.Module:
        """The trained, unpruned network."""
        assert self.model.module is not None
        return self.model.module


def load_bench(data: Path) -> Bench:
    """Read the recipe `ic_resnet8.py` below `data` with all of its images."""
    model = load_model(data / "recipes/ic_resnet8.py")
    assert model.training is not None
    return Bench(model, _whole(model.training.train_data()), _whole(model.training.test_data()))


def _whole(batches: Iterable[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def augmented(
    data: tuple[torch.Tensor, torch.Tensor], batch: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches without end: shuffled epochs, each image padded by 4, cropped at random and flipped half the time."""
    images, labels = data
    generator = torch.Generator().manual_seed(seed)
    size = images.shape[-1]
    span = torch.arange(size)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[: len(order) // batch * batch].split(batch):
            padded = F.pad(images[chosen], (4, 4, 4, 4))
            top, left = (torch.randint(0, 9, (batch, 1), generator=generator) + span for _ in range(2))
            flip = torch.rand(batch, 1, generator=generator) < 0.5
            left = torch.where(flip, left.flip(1), left)
            rows = torch.arange(batch)[:, None, None]
            cropped = padded.permute(0, 2, 3, 1)[rows, top[:, :, None], left[:, None, :]]
            yield cropped.permute(0, 3, 1, 2).contiguous(), labels[chosen]


class Descent:
    """The steps of one run: `take` spends some of them on a network, along the one cycle of the schedule."""

    def __init__(self, bench: Bench, schedule: Schedule, seed: int) -> None:
        self._schedule = schedule
        self._batches = augmented(bench.train, schedule.batch, seed)
        self._taken = 0
        self._rates = _one_cycle(schedule)

    @property
    def left(self) -> int:
        """Steps not yet taken."""
        return self._schedule.steps - self._taken

    def take(self, module: nn.Module, steps: int) -> nn.Module:
        """Train `module` in place by the next `steps` steps and return it in evaluation mode."""
        if steps > self.left:
            raise ValueError(f"{steps} steps asked for and {self.left} left")
        schedule = self._schedule
        optimizer = torch.optim.SGD(
            module.parameters(),
            schedule.peak_rate,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=True,
        )
        module.train()
        for _ in range(steps):
            images, labels = next(self._batches)
            for group in optimizer.param_groups:
                group["lr"] = self._rates[self._taken]
            output = module(images)
            loss = F.cross_entropy(output, labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            self._taken += 1
        return module.eval()


def _one_cycle(schedule: Schedule) -> list[float]:
    """The rates of `torch.optim.lr_scheduler.OneCycleLR` with its defaults."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], schedule.peak_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.peak_rate, total_steps=schedule.steps, cycle_momentum=False
    )
    rates = []
    for _ in range(schedule.steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        cycle.step()
    return rates


@torch.no_grad()
def accuracy(module: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Share of images classified as labelled, in per cent."""
    module.eval()
    pairs = zip(*(value.split(_BATCH) for value in data), strict=True)
    right = sum(int((module(images).argmax(1) == labels).sum()) for images, labels in pairs)
    return 100.0 * right / len(data[1])


@torch.no_grad()
def products(module: nn.Module, example: torch.Tensor) -> int:
    """Multiply-accumulates of every convolution and linear layer for one input."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        pixels = output[0].numel() // output.shape[1]
        total += weight.numel() * pixels

    hooks = [
        layer.register_forward_hook(count)
        for layer in module.modules()
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear))
    ]
    module.eval()(example)
    for hook in hooks:
        hook.remove()
    return total
