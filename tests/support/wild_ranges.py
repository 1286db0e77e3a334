"""A depthwise network of wildly different channels: exact in floating point, poor in int8 until trained for it."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from edgeprune.model.defaults import top1_accuracy
from edgeprune.model.model import Model, Training
from edgeprune.train import Schedule, fine_tune

__all__ = ["spread", "trained_digits"]


def trained_digits(steps: int = 150) -> Model:
    """A small depthwise-separable network trained on digits of 8 x 8 pixels."""
    data = load_digits()
    x = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    y = torch.from_numpy(data.target)
    train, test = TensorDataset(x[:1400], y[:1400]), TensorDataset(x[1400:], y[1400:])
    training = Training(
        lambda: DataLoader(train, 64, shuffle=True),
        lambda: DataLoader(test, 100),
        F.cross_entropy,
        top1_accuracy,
        "top-1 accuracy",
        True,
        None,
    )
    model = Model("digits", Path("digits.py"), "torch", example_inputs=(x[:1],), training=training)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            *block(1, 24, 3, 1), *block(24, 24, 3, 24), *block(24, 32, 1, 1), *block(32, 32, 3, 32),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip
    trained = fine_tune(model, net, steps, schedule=Schedule(peak_rate=0.2))
    return Model(model.name, model.path, "torch", trained, model.example_inputs, training=training)


def block(inputs: int, outputs: int, kernel: int, groups: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


@torch.no_grad()
def spread(net: nn.Sequential, octaves: float) -> None:
    """Scale the channels between layers by up to 2**octaves either way, which the layer behind undoes.

    ReLU commutes with positive factors, so the network stays the same function (Nagel et al., 2019, section 3.1).
    """
    generator = torch.Generator().manual_seed(1)
    for norm, behind in ((net[1], net[3]), (net[4], net[6]), (net[7], net[9])):
        factors = 2 ** ((2 * torch.rand(norm.num_features, generator=generator) - 1) * octaves)
        norm.weight *= factors
        norm.bias *= factors
        if behind.groups > 1:
            behind.weight /= factors[:, None, None, None]
        else:
            behind.weight /= factors[None, :, None, None]
