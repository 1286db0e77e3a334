"""A depthwise-separable network in the manner of MobileNet: ReLU6, batch norm, global pooling."""

import torch
import torch.nn.functional as F
from torch import nn


def separable(inputs, outputs, stride):
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU6(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.body = nn.Sequential(separable(8, 16, 1), separable(16, 32, 2), separable(32, 32, 1))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(self.body(self.stem(x)), 1).flatten(1))


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 3, 24, 24)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 3, 24, 24, generator=generator), torch.randint(0, 5, (16,), generator=generator))
        for _ in range(count)
    ]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)
