"""A small convolutional network for handwritten digits, trained here and now: the recipe of `edgeprune demo`.

The data are the 1,797 digits of 8 x 8 pixels that scikit-learn carries with it (Alpaydin and Kaynak, 1998).
"""

import functools
from collections import OrderedDict
from typing import TypeAlias

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

Batches: TypeAlias = DataLoader[tuple[torch.Tensor, ...]]

SEED = 0
EPOCHS = 20
TEST_DIGITS = 360

torch.set_num_threads(1)  # a network this small trains fastest on one thread


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images, test images, training labels, test labels; images float32 [N, 1, 8, 8] in 0..1."""
    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32) / 16).unsqueeze(1)
    labels = torch.from_numpy(data.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_DIGITS, random_state=SEED, stratify=data.target
    )
    return images[train], images[test], labels[train], labels[test]


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Module:
    """Convolution, batch normalisation, ReLU."""
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        norm=nn.BatchNorm2d(outputs),
        relu=nn.ReLU(),
    )
    return nn.Sequential(layers)


def network() -> nn.Module:
    """The network before training: two plain convolutions, then two depthwise-separable ones."""
    layers = OrderedDict(
        stem=block(1, 32),
        strokes=block(32, 40),
        depthwise1=block(40, 40, stride=2, groups=40),
        pointwise1=block(40, 80, kernel=1),
        depthwise2=block(80, 80, groups=80),
        pointwise2=block(80, 80, kernel=1),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classify=nn.Linear(80, 10),
    )
    return nn.Sequential(layers)


def model() -> nn.Module:
    """The network, trained for some seconds on shifted copies of the training digits."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        net = network().train()
        batches = [batch for _ in range(EPOCHS) for batch in train_data()]
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=len(batches))
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(shifted(images)), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    return net.eval()


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each batch moved by up to one pixel, so that the network learns strokes and not places."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    return padded[:, :, 1 + down : 9 + down, 1 + right : 9 + right]


def example_input() -> torch.Tensor:
    """One blank image."""
    return torch.zeros(1, 1, 8, 8)


def train_data() -> Batches:
    """Batches of 64 training digits."""
    images, _, labels, _ = digits()
    return DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)


def test_data() -> Batches:
    """Batches of 60 test digits, which training never sees."""
    _, images, _, labels = digits()
    return DataLoader(TensorDataset(images, labels), batch_size=60)
