"""Squeeze-and-excite blocks with swish activations, in the manner of MobileNetV3 and EfficientNet."""

import torch
import torch.nn.functional as F
from torch import nn


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = (
            nn.Conv2d(channels, channels // 4, 1),
            nn.Conv2d(channels // 4, channels, 1),
        )

    def forward(self, x):
        gate = x.mean(dim=(2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(gate))))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.BatchNorm2d(16), nn.SiLU()
        )
        self.gate = SqueezeExcite(16)
        self.project = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.project(self.gate(self.depthwise(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 3, 16, 16)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 3, 16, 16, generator=generator), torch.randint(0, 4, (16,), generator=generator))
        for _ in range(count)
    ]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)
