"""An autoencoder of fully connected layers around a narrow code, as for anomaly detection in sounds."""

from itertools import pairwise

import torch
from torch import nn


def model():
    torch.manual_seed(0)
    widths, layers = (64, 48, 48, 8, 48, 48), []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(48, 64)).eval()


def example_input():
    return torch.zeros(1, 64)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    frames = [torch.randn(16, 64, generator=generator) for _ in range(count)]
    return [(frame, frame) for frame in frames]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)


def loss(output, y):
    return torch.nn.functional.mse_loss(output, y)


higher_is_better = False


def metric(model, data):
    """Mean squared error of the reconstruction."""
    errors = [torch.nn.functional.mse_loss(model(x), y).item() for x, y in data]
    return sum(errors) / len(errors)
