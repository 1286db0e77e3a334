"""A depthwise-separable network for Fashion-MNIST, as a recipe: trained weights are what EDGEPRUNE_WEIGHTS names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["DsCnn", "example_input", "model", "test_data", "train_data"]

_BATCH = 128
_CHANNELS = 172


class Separable(nn.Module):
    """Depthwise 3x3, pointwise, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.depthwise(x)))
        return F.relu(self.norm2(self.pointwise(x)))


class DsCnn(nn.Module):
    """DS-CNN of the middle size (Zhang et al., "Hello Edge", 2017), for 28x28 images: [N, 1, 28, 28] to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, _CHANNELS, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(_CHANNELS)
        self.blocks = nn.Sequential(*(Separable(_CHANNELS, _CHANNELS, stride) for stride in (2, 1, 1, 1)))
        self.classifier = nn.Linear(_CHANNELS, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.classifier(x.mean((2, 3)))


def model() -> nn.Module:
    """The trained network; with random weights where EDGEPRUNE_WEIGHTS names no file."""
    network = DsCnn()
    weights = os.environ.get("EDGEPRUNE_WEIGHTS")
    if weights:
        network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def example_input() -> torch.Tensor:
    return torch.zeros(1, 1, 28, 28)


def _split(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    file = np.load(Path(os.environ["EDGEPRUNE_DATA"]) / "data/fashion_mnist.npz")
    images = torch.from_numpy(file[f"x_{name}"]).unsqueeze(1)
    return images, torch.from_numpy(file[f"y_{name}"].astype(np.int64))


class _Shuffled:
    """Batches in a new order each time, mirrored by chance and moved by up to two pixels."""

    def __init__(self) -> None:
        self._images, self._labels = _split("train")

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in torch.randperm(len(self._labels)).split(_BATCH):
            if len(rows) < _BATCH:
                return
            yield _moved(self._images[rows].float() / 255), self._labels[rows]


def _moved(images: torch.Tensor) -> torch.Tensor:
    padded = F.pad(images, (2, 2, 2, 2))
    down, right = (int(offset) for offset in torch.randint(0, 5, (2,)))
    window = padded[:, :, down : down + 28, right : right + 28]
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, window.flip(3), window)


def train_data() -> _Shuffled:
    return _Shuffled()


def test_data() -> torch.utils.data.DataLoader:  # type: ignore[type-arg]
    images, labels = _split("test")
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images.float() / 255, labels), batch_size=500
    )
